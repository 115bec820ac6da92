"""The `imgsvc` command: the group here, and a module for each kind of subcommand."""

from __future__ import annotations

from typing import Any

import click

from imgsvc import __version__
from imgsvc.client.command.downloading import download
from imgsvc.client.command.listing import list_images, show
from imgsvc.client.command.running import LOCAL_FILE
from imgsvc.client.command.settings import read_settings, settings_options
from imgsvc.client.command.several import deactivate, delete, reactivate
from imgsvc.client.command.sharing import accept, members, reject, share, unshare
from imgsvc.client.command.stores import stores
from imgsvc.client.command.updating import update
from imgsvc.client.command.uploading import upload
from imgsvc.output import abandon_output

__all__ = ["main"]


class CommandGroup(click.Group):
    """Ends with one line if standard output cannot be written outside the reactor, as by --version."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        """See click.Command."""
        try:
            return super().main(*arguments, **more)
        except OSError as error:
            abandon_output(error)
            raise SystemExit(LOCAL_FILE) from None


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@settings_options
@click.version_option(__version__)
@click.pass_context
def main(
    context: click.Context,
    endpoint: str | None,
    cloud: str | None,
    token: str | None,
    headers: dict[str, str],
    user: str | None,
) -> None:
    """Keep disk images on a server that speaks the OpenStack Image API v2.

    \b
    Exit codes:
      0  done
      1  the server refused
      2  the command line is wrong
      3  the server cannot be reached, or is not an Image API
      4  the bytes do not match the image's size or digest
      5  interrupted; may be tried again, a download with --continue
      6  a local file cannot be read or written
      130  interrupted by Ctrl-C (143: by SIGTERM)
    """
    context.obj = read_settings(endpoint, cloud, token, headers, user)


for _command in (
    *(upload, download, list_images, show, update, delete, deactivate, reactivate),
    *(members, share, unshare, accept, reject, stores),
):
    main.add_command(_command)
