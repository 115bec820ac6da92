"""What all commands work on."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from imgsvc.config import Config

__all__ = ["Setting"]


@frozen
class Setting:
    """The configuration of the daemon. `click.pass_obj` hands it to a command.

    data_folder: what relative paths of the configuration are in.
    """

    config: Config
    data_folder: Path
