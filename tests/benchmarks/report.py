"""What was measured, as Markdown: tables of figures with their targets, and the machine they were measured on."""

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
    """One row: what was measured, what it is compared with, and the factor or amount that counts.

    `reached` must be at least `target`, or below it where `at_most`; without a target it only informs.
    """

    what: str
    ours: str
    beside: str
    reached: float
    target: float | None = None
    unit: str = "×"
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.target is None or (self.reached < self.target if self.at_most else self.reached >= self.target)

    def row(self) -> str:
        if self.target is None:
            target = "-"
        else:
            target = f"{'under' if self.at_most else 'at least'} {self.target:g}{self.unit}"
        verdict = "" if self.target is None else ", met" if self.met else ", **missed**"
        return f"| {self.what} | {self.ours} | {self.beside} | {target} | {self.reached:.3g}{self.unit}{verdict} |"


@dataclass(frozen=True)
class Section:
    """One table, below a line that says what it holds."""

    title: str
    note: str
    figures: Sequence[Figure]

    def text(self) -> str:
        head = "| what | mxtrain | beside | target | reached |\n| --- | --- | --- | --- | --- |"
        return "\n".join([f"### {self.title}", "", self.note, "", head, *(each.row() for each in self.figures)])


def faster(what: str, ours: Timing, name: str, theirs: Timing, target: float | None, unit: str = "ms") -> Figure:
    """How many times as fast as a peer."""
    return Figure(what, told(ours, unit), f"{name} {told(theirs, unit)}", theirs.median / ours.median, target)


def told(timing: Timing, unit: str = "ms") -> str:
    """A median with its quartiles."""
    factor = {"s": 1, "ms": 1e3, "µs": 1e6}[unit]
    values = (value * factor for value in (timing.low, timing.median, timing.high))
    low, middle, high = (f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values)
    return f"{middle} {unit} ({low} to {high})"


def machine() -> str:
    """The processor, its caches, the memory, the system and the load, as a list."""
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
    return "- Versions: " + ", ".join(f"{package} {version(package)}" for package in packages)


def write(part: str, text: str) -> None:
    """Put generated text between a part's two marks in docs/performance.md."""
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
