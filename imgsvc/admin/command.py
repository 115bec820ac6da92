"""The group of commands, and what all commands share: the options of the daemon, and errors of one line.

Each module of this package has one `click.group` or `click.command`, which is added to the group here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imgsvc import __version__, config
from imgsvc.admin.check import check
from imgsvc.admin.database import database
from imgsvc.admin.metadefs import metadefs
from imgsvc.admin.policy import policy
from imgsvc.admin.quota import quota
from imgsvc.admin.running import INTERRUPTED
from imgsvc.admin.setting import Setting
from imgsvc.admin.store import store
from imgsvc.admin.user import user
from imgsvc.errors import ImgsvcError
from imgsvc.output import abandon_output

__all__ = ["imgsvc_admin", "main"]


class OneLineErrors(click.Group):
    """Prints an ImgsvcError, or an error of standard output, as one line and exits with status 1.

    Ctrl-C ends a command with status 130.
    """

    def main(self, *arguments: Any, **more: Any) -> Any:
        """See click.Command."""
        try:
            return super().main(*arguments, **more)
        except OSError as error:  # errors of files that a command reads or writes are ImgsvcErrors
            abandon_output(error)
            raise SystemExit(1) from None

    def invoke(self, context: click.Context) -> Any:
        """Called by click."""
        try:
            return super().invoke(context)
        except ImgsvcError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--config", "-c", "file", type=click.Path(path_type=Path), help="TOML file with the configuration.")
@click.option(
    "--data",
    "-d",
    "data_folder",
    type=click.Path(path_type=Path),
    default="imgsvc-data",
    show_default=True,
    help="Folder for the relative paths of the configuration.",
)
@click.pass_context
def imgsvc_admin(context: click.Context, file: Path | None, data_folder: Path) -> None:
    """Look after an imgsvc. --config and --data must be those of its daemon."""
    context.obj = Setting(config.load(file), data_folder.absolute())


imgsvc_admin.add_command(check)
imgsvc_admin.add_command(database)
imgsvc_admin.add_command(metadefs)
imgsvc_admin.add_command(policy)
imgsvc_admin.add_command(quota)
imgsvc_admin.add_command(store)
imgsvc_admin.add_command(user)


def main() -> None:
    """The console script."""
    imgsvc_admin(prog_name="imgsvc-admin")
