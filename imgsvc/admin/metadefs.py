"""`imgsvc-admin metadefs`: loads metadata definitions from files and writes them to files.

A file has one namespace in the form of `POST /v2/metadefs/namespaces`. Files of Glance can be loaded too.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import click

from imgsvc.admin.running import with_database
from imgsvc.admin.setting import Setting
from imgsvc.catalogue import Database, MetadefCatalogue
from imgsvc.errors import ConfigurationError, Conflict, Forbidden, Invalid, QuotaExceeded
from imgsvc.metadef_model import Namespace
from imgsvc.model import Visibility
from imgsvc.operations.metadef_loading import Existing, all_namespaces, load_namespace, unload_namespace
from imgsvc.operations.metadefs import Documents
from imgsvc.web.metadef_reader import read_namespace
from imgsvc.web.metadef_view import namespace_document

__all__ = ["metadefs", "portable", "read_files"]

SET_BY_SERVER: Final = frozenset({"created_at", "updated_at", "self", "schema"})

Loaded = tuple[dict[str, Any], Documents]


@click.group()
def metadefs() -> None:
    """Metadata definitions: which properties images, flavors and volumes may have."""


@metadefs.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--merge",
    "existing",
    flag_value=Existing.MERGE.value,
    help="Also add missing definitions to existing namespaces.",
)
@click.option(
    "--prefer-new",
    "existing",
    flag_value=Existing.PREFER_NEW.value,
    help="Also change existing definitions to those of the files; what is not in the files stays.",
)
@click.option(
    "--replace",
    "existing",
    flag_value=Existing.REPLACE.value,
    help="Make existing namespaces equal to the files; what is not in the files is removed.",
)
@click.pass_obj
def load(setting: Setting, folder: Path | None, existing: str | None) -> None:
    """Load the files of FOLDER (or one file). Without FOLDER, load the definitions that come with imgsvc.

    Existing namespaces stay as they are unless an option says otherwise. Each namespace is loaded as a whole or not at
    all. All files are checked before the first is loaded.
    """
    if folder is None:
        with as_file(files("imgsvc") / "definitions") as own:
            loaded = list(read_files(own))
    else:
        loaded = list(read_files(folder))

    async def work(database: Database) -> Counter[str]:
        catalogue, done = MetadefCatalogue(database), Counter[str]()
        for fields, documents in loaded:
            now = datetime.now(UTC)
            outcome = await load_namespace(catalogue, fields, documents, Existing(existing or Existing.SKIP), now)
            done[outcome.value] += 1
        return done

    done = with_database(setting, work)
    click.echo(", ".join(f"{number} {outcome}" for outcome, number in sorted(done.items())))


@metadefs.command()
@click.argument("namespaces", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove all namespaces.")
@click.pass_obj
def unload(setting: Setting, namespaces: tuple[str, ...], everything: bool) -> None:
    """Remove NAMESPACES with everything in them, also protected ones."""
    if bool(namespaces) == everything:
        raise click.UsageError("Name the namespaces, or use --all.")

    async def work(database: Database) -> int:
        catalogue = MetadefCatalogue(database)
        names = [each.name async for each in all_namespaces(catalogue)] if everything else [*dict.fromkeys(namespaces)]
        for name in names:
            await catalogue.namespace(name)  # check all names before any is removed
        for name in names:
            await unload_namespace(catalogue, name)
        return len(names)

    click.echo(f"{with_database(setting, work)} removed")


@metadefs.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def export(setting: Setting, folder: Path) -> None:
    """Write each namespace to a file of its own in FOLDER, which must be new or empty. `load` can read the files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"{folder} is not empty")
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}") from error

    async def work(database: Database) -> list[Namespace]:
        return [each async for each in all_namespaces(MetadefCatalogue(database))]

    namespaces = with_database(setting, work)
    taken: set[str] = set()
    for namespace in namespaces:
        path = folder / _file_name(namespace.name, taken)
        try:
            path.write_text(json.dumps(portable(namespace), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
    click.echo(f"{len(namespaces)} written")


def read_files(source: Path) -> Iterator[Loaded]:
    """Read the files `*.json` of a folder, or one file.

    source: the path of the folder or file. A namespace is public if its file does not say who sees it.

    Returns an iterator of pairs: the fields of a namespace, and its definitions. Raises ConfigurationError with the
    name of the file.
    """
    paths = sorted(source.glob("*.json")) if source.is_dir() else [source]
    files_of: dict[str, Path] = {}
    if not paths:
        raise ConfigurationError(f"{source} has no files *.json")
    for path in paths:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(document, dict):
                raise Invalid("it is not a JSON object")
            fields, documents = read_namespace(document)
        except (OSError, ValueError, Invalid, Forbidden, Conflict, QuotaExceeded) as error:
            raise ConfigurationError(f"{path}: {error}") from error
        other = files_of.setdefault(fields["name"], path)
        if other is not path:
            raise ConfigurationError(f"{path}: namespace {fields['name']!r} is in {other}, too")
        yield {"visibility": Visibility.PUBLIC, **fields}, documents


def portable(namespace: Namespace) -> dict[str, Any]:
    """Make the document of a namespace that is written to a file: the fields that a client may set."""

    def settable(document: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in document.items() if key not in SET_BY_SERVER}

    document = settable(namespace_document(namespace))
    for key in ("objects", "resource_type_associations"):
        if key in document:
            document[key] = [settable(each) for each in document[key]]
    return document


def _file_name(name: str, taken: set[str]) -> str:
    """Make a file name that is not in `taken`, also on file systems that ignore the case of letters."""
    plain = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).lstrip(".") or "-"
    unique, number = plain, 1
    while unique.lower() in taken:
        number += 1
        unique = f"{plain}-{number}"
    taken.add(unique.lower())
    return f"{unique}.json"
