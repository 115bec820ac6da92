"""Looks at the bytes of an upload as they pass: which disk format they are, how large the disk, whether it is safe.

The formats and their safety checks are those of oslo.utils, which Glance, Nova and Cinder use too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import txaio
from oslo_utils.imageutils import format_inspector

from imgsvc.errors import FormatMismatch

log = txaio.make_logger()

DECIDED_AFTER = 256 << 10
"""Bytes after which no format can begin to match that has not done so (models.md measured the same)."""

INSPECTABLE = frozenset({"raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso", "gpt", "luks"})
"""Disk formats that content can be checked against; of any other, unrecognised bytes are accepted only."""

ALWAYS_REFUSED = frozenset({"qed"})
"""Formats that are recognised in order to be refused."""


class Inspection:
    """What one upload's bytes are, fed piece by piece and judged at the end.

    disk_format: as declared. enforce: whether a mismatch is an error; a mismatch that is certain is raised while
    the bytes still come. vmdk_types: `createType` values that are accepted. nonfatal_gpt: names of GPT safety
    checks whose failure is only logged.
    """

    def __init__(
        self,
        image_id: str,
        disk_format: str,
        *,
        enforce: bool = True,
        vmdk_types: Iterable[str] = (),
        nonfatal_gpt: Iterable[str] = (),
    ) -> None:
        self._image_id = image_id
        self._declared = disk_format
        self._enforce = enforce
        self._vmdk_types = frozenset(kind.lower() for kind in vmdk_types)
        self._nonfatal_gpt = frozenset(nonfatal_gpt)
        self._inspectors: dict[str, Any] = {
            name: inspector()
            for name, inspector in format_inspector.ALL_FORMATS.items()
            if name != "raw"
        }
        self._size = 0

    def feed(self, piece: bytes | bytearray) -> None:
        """Look at the next piece. Raises FormatMismatch when it is certain that the declared format is not there."""
        self._size += len(piece)
        if not self._inspectors:
            return
        for name, inspector in list(self._inspectors.items()):
            try:
                inspector.eat_chunk(bytes(piece) if isinstance(piece, bytearray) else piece)
            except Exception as error:  # the inspectors parse hostile bytes; any failure means "not this format"
                log.debug("Image {image}: not {format}: {error}", image=self._image_id, format=name, error=error)
                del self._inspectors[name]
        if self._size >= DECIDED_AFTER:
            self._drop_the_decided()
        declared = self._inspectors.get(self._declared)
        gone = declared is None or (declared.complete and not _matches(declared))
        if self._enforce and gone and self._declared in INSPECTABLE - {"raw"}:
            raise self._mismatch("its content is not of that format")

    def finish(self) -> int | None:
        """All bytes were fed: the virtual size in bytes, None if unknown.

        Raises FormatMismatch if enforced. No bytes at all are accepted in every format.
        """
        if self._size == 0:
            return 0 if self._declared == "raw" else None
        for inspector in self._inspectors.values():
            inspector.finish()
        found = {name: inspector for name, inspector in self._inspectors.items() if _matches(inspector)}
        if "iso" in found:
            found.pop("gpt", None)  # a bootable ISO carries a partition table too
        if self._enforce:
            self._check_match(found)
            for name, inspector in found.items():
                if self._declared != "raw" or name == "gpt":
                    self._check_safety(name, inspector)
        if self._declared == "raw":
            return self._size
        return self._virtual_size(found)

    def _drop_the_decided(self) -> None:
        for name, inspector in list(self._inspectors.items()):
            if not _matches(inspector):
                del self._inspectors[name]

    def _check_match(self, found: dict[str, Any]) -> None:
        refused = ALWAYS_REFUSED & found.keys()
        if refused:
            raise self._mismatch(f"its content is {', '.join(sorted(refused))}, which is not accepted")
        if self._declared == "raw":
            return
        if len(found) > 1:
            raise self._mismatch(f"its content is several formats at once: {', '.join(sorted(found))}")
        actual = next(iter(found), "raw")
        if actual != (self._declared if self._declared in INSPECTABLE else "raw"):
            raise self._mismatch(f"its content is {actual}")

    def _check_safety(self, name: str, inspector: Any) -> None:
        try:
            inspector.safety_check()
        except format_inspector.SafetyCheckFailed as failed:
            failures = dict(failed.failures)
            if name == "gpt":
                for check in self._nonfatal_gpt & failures.keys():
                    log.warn(
                        "Image {image}: gpt check {check} failed: {failure}",
                        image=self._image_id,
                        check=check,
                        failure=failures.pop(check),
                    )
            if failures:
                reasons = "; ".join(f"{check}: {failure}" for check, failure in sorted(failures.items()))
                raise self._mismatch(f"it fails the safety checks of {name} ({reasons})") from failed
        except format_inspector.ImageFormatError as error:
            raise self._mismatch(f"it cannot be checked as {name} ({error})") from error
        if name == "vmdk":
            self._check_vmdk_type(inspector)

    def _check_vmdk_type(self, inspector: Any) -> None:
        kind = getattr(inspector, "vmdktype", None)
        if kind and kind != "formatnotfound" and kind not in self._vmdk_types:
            raise self._mismatch(f"a vmdk of type {kind} is not accepted")

    def _virtual_size(self, found: dict[str, Any]) -> int | None:
        inspector = found.get(self._declared)
        if inspector is None:
            return None
        try:
            return inspector.virtual_size or None
        except Exception as error:  # a header that lies about itself
            log.debug("Image {image}: no virtual size: {error}", image=self._image_id, error=error)
            return None

    def _mismatch(self, reason: str) -> FormatMismatch:
        return FormatMismatch(f"Image {self._image_id} is declared as {self._declared}: {reason}.")


def _matches(inspector: Any) -> bool:
    try:
        return bool(inspector.format_match)
    except AttributeError:  # a text descriptor of VMDK that was never complete
        return False
