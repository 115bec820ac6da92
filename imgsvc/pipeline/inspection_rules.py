"""The rules of inspections: what image data are refused."""

from __future__ import annotations

from attrs import frozen


@frozen
class InspectionRules:
    """The rules of inspections.

    enforce: whether anything is refused. vmdk_types: `createType` values that are accepted. nonfatal_gpt: names of GPT
    safety checks whose failure is only logged. refuse_disguised: whether to refuse plain bytes that look like another
    format.
    """

    enforce: bool = True
    vmdk_types: tuple[str, ...] = ()
    nonfatal_gpt: tuple[str, ...] = ()
    refuse_disguised: bool = False
