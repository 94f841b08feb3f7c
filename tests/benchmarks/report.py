"""Benchmark results as Markdown: tables of figures with their targets, and a description of the machine."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from mxtrain.benchmarks import Timing

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


@dataclass(frozen=True)
class Figure:
    """One row of a table: a measurement, its reference, and the resulting factor or amount.

    `result` must be at least `target`, or less with `at_most`; without a target it is informative only.
    """

    name: str
    ours: str
    reference: str
    result: float
    target: float | None = None
    unit: str = "×"
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        return self.target is None or (self.result < self.target if self.at_most else self.result >= self.target)

    def row(self) -> str:
        if self.target is None:
            target = "-"
        else:
            target = f"{'under' if self.at_most else 'at least'} {self.target:g}{self.unit}"
        verdict = "" if self.target is None else ", met" if self.is_met else ", **missed**"
        return f"| {self.name} | {self.ours} | {self.reference} | {target} | {self.result:.3g}{self.unit}{verdict} |"


@dataclass(frozen=True)
class Section:
    """One table, below a paragraph that describes it."""

    title: str
    note: str
    figures: Sequence[Figure]

    def text(self) -> str:
        head = "| measurement | mxtrain | reference | target | result |\n| --- | --- | --- | --- | --- |"
        return "\n".join([f"### {self.title}", "", self.note, "", head, *(each.row() for each in self.figures)])


def speedup(name: str, ours: Timing, peer: str, theirs: Timing, target: float | None, unit: str = "ms") -> Figure:
    """Return the time of another library divided by ours."""
    return Figure(
        name, format_timing(ours, unit), f"{peer} {format_timing(theirs, unit)}", theirs.median / ours.median, target
    )


def format_timing(timing: Timing, unit: str = "ms") -> str:
    """Format a median with its quartiles."""
    factor = {"s": 1, "ms": 1e3, "µs": 1e6}[unit]
    values = (value * factor for value in (timing.low, timing.median, timing.high))
    low, median, high = (f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values)
    return f"{median} {unit} ({low} to {high})"


def machine() -> str:
    """List the processor, its caches, the memory, the system and the load."""
    cores = len(os.sched_getaffinity(0))
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    facts = {
        "Processor": f"{_first('/proc/cpuinfo', 'model name')}, {cores} cores, caches {_caches()}",
        "Memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f} GiB",
        "System": f"{platform.platform()}, Python {platform.python_version()}",
        "Date": f"{date.today().isoformat()}; load averages before the run: {load}",
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def versions(packages: Sequence[str]) -> str:
    """List the versions of packages."""
    return "- Versions: " + ", ".join(f"{package} {version(package)}" for package in packages)


def write(part: str, text: str) -> None:
    """Replace the text between the two marks of a part in docs/performance.md."""
    begin, end = f"<!-- {part}: generated from here -->", f"<!-- {part}: to here -->"
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(begin)
    _, after = rest.split(end)
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _first(path: str, field: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "unknown")


def _caches() -> str:
    caches = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            caches.append(f"L{level} {size}")
    return ", ".join(caches) or "unknown"
