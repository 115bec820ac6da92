"""The results of measurements: samples, targets, and their tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Sample = dict[str, float]
"""One measurement: numbers by name, such as `MB/s`."""


@dataclass(frozen=True)
class Target:
    """A limit for the median of a number."""

    text: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if it could not be measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        """The row of the target in the table."""
        sign = ">=" if self.at_least else "<="
        value = "not measured" if self.value is None else f"{self.value:,.3g}"
        verdict = {True: "met", False: "**missed**", None: "-"}[self.met]
        return f"| {self.text} | {sign} {self.limit:g} | {value} | {verdict} |"


@dataclass
class Table:
    """The results of one part: the samples of each case and server, and the targets."""

    title: str
    rows: list[tuple[str, str, list[Sample]]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def add(self, case: str, results: Mapping[str, list[Sample]]) -> None:
        """Add the samples of a case. results: by the name of the server."""
        self.rows += [(case, server, samples) for server, samples in results.items()]

    def markdown(self) -> str:
        """The table as Markdown: medians, with the least and the greatest value in brackets."""
        columns = list(dict.fromkeys(name for _, _, samples in self.rows for sample in samples for name in sample))
        lines = [f"### {self.title}", "", _row(["case", "server", *columns]), _row(["---"] * (2 + len(columns)))]
        for case, server, samples in self.rows:
            lines.append(_row([case, server, *(spread(values(samples, column)) for column in columns)]))
        if self.targets:
            lines += ["", "| target | limit | median | |", "|---|---|---|---|"]
            lines += [target.line() for target in self.targets]
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The table for JSON."""
        return {
            "title": self.title,
            "rows": [{"case": case, "server": server, "samples": samples} for case, server, samples in self.rows],
            "targets": [
                {"text": t.text, "limit": t.limit, "at_least": t.at_least, "value": t.value, "met": t.met}
                for t in self.targets
            ],
        }


def interleaved(rounds: int, runs: Mapping[str, Callable[[], Sample]]) -> dict[str, list[Sample]]:
    """Make all runs in turn, `rounds` times: A B A B. So what disturbs the machine for a while disturbs all of them."""
    samples: dict[str, list[Sample]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            samples[name].append(run())
    return samples


def values(samples: Sequence[Sample], name: str) -> list[float]:
    """All numbers with this name."""
    return [sample[name] for sample in samples if name in sample]


def median(samples: Sequence[Sample], name: str) -> float | None:
    """The median of the numbers with this name; None if there are none."""
    found = values(samples, name)
    return statistics.median(found) if found else None


def median_ratio(samples: Sequence[Sample], others: Sequence[Sample], name: str) -> float | None:
    """The median of the ratios of the rounds. The conditions of the machine are the same within a round."""
    ratios = [
        sample[name] / other[name]
        for sample, other in zip(samples, others, strict=True)
        if name in sample and other.get(name)
    ]
    return statistics.median(ratios) if ratios else None


def number(value: float) -> str:
    """Format a number with about three digits."""
    if value == int(value):
        return f"{value:,.0f}"
    if abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def spread(found: Sequence[float]) -> str:
    """Format numbers as `median (least-greatest)`."""
    if not found:
        return ""
    middle = number(statistics.median(found))
    return middle if min(found) == max(found) else f"{middle} ({number(min(found))}-{number(max(found))})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
