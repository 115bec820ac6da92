"""`imgsvc-admin store verify`: compares the objects of stores with the catalogue."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click
from attrs import asdict, define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall

from imgsvc.admin.running import with_core
from imgsvc.admin.setting import Setting
from imgsvc.daemon.core import Core
from imgsvc.errors import ImgsvcError, Invalid, StoreAway
from imgsvc.interfaces import IListedStore, IMarkedStore, IStore
from imgsvc.options import Seconds, converter
from imgsvc.store_model import Scope
from imgsvc.tasks.findings import Finding, Findings, Tally, VerifyRules
from imgsvc.tasks.verification import Verification

__all__ = ["verify"]

FOUND: Final = 1
NOT_LOOKED_AT: Final = 2
"""Exit statuses. The highest one of all stores counts."""
PROGRESS_EVERY: Final = 0.5
"""Seconds between two updates of the progress line."""


@click.command()
@click.argument("name", required=False)
@click.option("--digests", is_flag=True, help="Read all objects, and compare their md5 and hash with the records.")
@click.option(
    "--repair",
    is_flag=True,
    help="End uploads that no process is working on, as daemons do; move left-over objects into the folder"
    " .imgsvc-left-over of the store. No record is changed, and no object that an image may still get is moved.",
)
@click.option(
    "--older-than",
    default="1 d",
    show_default=True,
    help='Move only left-over objects that are at least this old, as "2 h".',
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def verify(setting: Setting, name: str | None, digests: bool, repair: bool, older_than: str, as_json: bool) -> None:
    """Compare the store NAME, or every store, with the catalogue. Daemons may run and use the stores.

    Prints one line for each finding: `missing` (a record without its object), `wrong-size`, `wrong-digest`,
    `unreadable`, `left-over` (an object without a record), `unfinished` (of an upload that no process is working on).
    Then a summary.

    Exit status 0: nothing was found, 1: something was found, 2: a store or the catalogue could not be looked at.

    An image whose object is missing or wrong stays as it is. Put the right object back, deactivate the image, or delete
    it and upload it again.
    """
    printer = Printer(as_json)
    try:
        rules = VerifyRules(digests, repair, _seconds(older_than))
        status = with_core(setting, lambda core: _verify(core, name, rules, printer))
    except ImgsvcError as error:
        click.echo(f"Error: {error}", err=True)
        status = NOT_LOOKED_AT
    raise SystemExit(status)


async def _verify(core: Core, name: str | None, rules: VerifyRules, printer: Printer) -> int:
    stores: Sequence[IStore] = core.stores.all() if name is None else [core.stores.get(name)]
    status = 0
    reachable = [store for store in stores if store.info.scope is not Scope.PROCESS]
    for store in reachable:
        status = max(status, await _verify_store(core, store, rules, printer))
    if not reachable:
        where = "in the memory of the daemon: no other process can look at it."
        if name is not None:
            raise Invalid(f"Store {name} is {where}")
        click.echo(f"No store was looked at: each is {where}", err=True)
    return status


async def _verify_store(core: Core, store: IStore, rules: VerifyRules, printer: Printer) -> int:
    from twisted.internet import reactor

    findings = Findings(printer.finding)
    verification = Verification(
        images=core.catalogue,
        leases=core.catalogue,
        inventory=core.catalogue,
        store=store,
        findings=findings,
        rules=rules,
        clock=reactor,
        budget=core.budgets.uploads,
        digest_scheduler=core.digest_scheduler,
    )
    try:
        with printer.progress.of(store, findings.tally):
            await store.start()
            await verification.run()
    except StoreAway as error:
        printer.failure(store, f"{error}{await _what_is_there(store)}")
        return NOT_LOOKED_AT
    except ImgsvcError as error:
        printer.failure(store, str(error))
        return NOT_LOOKED_AT
    except CancelledError:
        printer.summary(store, findings.tally, interrupted=True)
        raise
    finally:
        await store.stop()
    printer.summary(store, findings.tally)
    return FOUND if findings.tally.findings else 0


async def _what_is_there(store: IStore) -> str:
    """Say for the operator what is at the path of a store that is away."""
    if not IMarkedStore.providedBy(store):
        return ""
    try:
        survey = await store.survey()
    except ImgsvcError as error:
        return f" {error}"
    return f" {survey.place} {survey.mark}."


def _seconds(text: str) -> float:
    try:
        return float(converter.structure(text, Seconds))
    except ValueError:
        raise Invalid(f'--older-than {text!r}: must be a time in seconds, as 60 or "1 h"') from None


@frozen
class Printer:
    """Prints findings on standard output, as lines for people or as JSON."""

    as_json: bool
    progress: Progress = field(factory=lambda: Progress())

    def finding(self, finding: Finding) -> None:
        """Print one finding."""
        text = f"NOT OK: {finding.problem}: {finding.name}: {finding.text}"
        fields = {name: value for name, value in asdict(finding).items() if name != "store_id"}
        self._say(finding.store_id, text, fields)

    def failure(self, store: IStore, text: str) -> None:
        """Say that the store could not be looked at, or not to the end."""
        self._say(store.store_id, f"NOT OK: could not be looked at: {text}", {"error": text})

    def summary(self, store: IStore, tally: Tally, interrupted: bool = False) -> None:
        """Print how much was looked at, and how much was found."""
        lists = IListedStore.providedBy(store)
        text = f"{'NOT OK' if tally.findings else 'ok'}: {tally.records} records"
        text += f" and {tally.objects} objects" if lists else ""
        text += f" looked at, {tally.findings} findings, {tally.repaired} repaired"
        text += "" if lists else "; a store of this kind cannot list its objects"
        text += "; interrupted" if interrupted else ""
        self._say(store.store_id, text, {"summary": asdict(tally) | {"interrupted": interrupted}})

    def _say(self, store_id: str, text: str, document: dict[str, object]) -> None:
        self.progress.clear()
        line = json.dumps({"store": store_id} | document) if self.as_json else f"store {store_id}: {text}"
        click.echo(" ".join(line.split()))


@define
class Progress:
    """A line on standard error that shows the progress, if that is a terminal."""

    _shown: str = field(default="", init=False)

    @contextmanager
    def of(self, store: IStore, tally: Tally) -> Iterator[None]:
        """Show the counters until the end of the block."""
        showing = LoopingCall(self._show, store.store_id, tally)
        if sys.stderr.isatty():
            showing.start(PROGRESS_EVERY)
        try:
            yield
        finally:
            if showing.running:
                showing.stop()
            self.clear()

    def clear(self) -> None:
        """Remove the line, so that other text can be printed."""
        if self._shown:
            self._write("")

    def _show(self, store_id: str, tally: Tally) -> None:
        read = f", {tally.read / 1e9:.1f} GB read" if tally.read else ""
        self._write(f"store {store_id}: {tally.records} records, {tally.objects} objects{read}")

    def _write(self, text: str) -> None:
        click.echo(f"\r{text.ljust(len(self._shown))}" + ("" if text else "\r"), err=True, nl=False)
        self._shown = text
