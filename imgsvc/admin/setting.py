"""The value that click passes to every command."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from imgsvc.config import Config

__all__ = ["Setting"]


@frozen
class Setting:
    """The configuration of the daemon. `click.pass_obj` passes it to a command.

    data_folder: the folder for the relative paths of the configuration.
    """

    config: Config
    data_folder: Path
