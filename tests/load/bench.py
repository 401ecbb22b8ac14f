"""Benchmarks: a registry, the line that each result leaves, and the table that people read."""

import os
import platform
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

LINES: Final = Path(".tierwise") / "bench.jsonl"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One figure. `goal`: what `value` should reach (or stay under, with `lower_is_better`), None to only tell it.
    `baseline`: what was measured beside it in the same run, in the same unit; `ratio_goal`: least value/baseline."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    lower_is_better: bool = False
    baseline: str | None = None
    baseline_value: float | None = None
    ratio_goal: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline_value if self.baseline_value else None

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        verdicts = []
        if self.goal is not None:
            verdicts.append(self.value <= self.goal if self.lower_is_better else self.value >= self.goal)
        if self.ratio_goal is not None and self.ratio is not None:
            verdicts.append(self.ratio >= self.ratio_goal)
        return all(verdicts) if verdicts else None

    def line(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "baseline": self.baseline,
            "baseline_value": None if self.baseline_value is None else round(self.baseline_value, 3),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": self.goal,
            "met": self.met,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        }


class Unmeasurable(Exception):  # noqa: N818
    """The machine lacks something; the message says what."""


Benchmark = Callable[[], AsyncIterator[Result]]
BENCHMARKS: Final[dict[str, Benchmark]] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Registers an async generator of results. It raises Unmeasurable where the machine lacks something."""

    def register(function: Benchmark) -> Benchmark:
        BENCHMARKS[name] = function
        return function

    return register


def append_line(result: Result) -> None:
    LINES.parent.mkdir(exist_ok=True)
    with LINES.open("ab") as file:
        file.write(msgspec.json.encode(result.line()) + b"\n")


def show(results: Iterable[Result], console: Console) -> None:
    table = Table("figure", "value", "unit", "goal", "baseline", "ratio", "met")
    for result in results:
        sign = "<=" if result.lower_is_better else ">="
        baseline = f"{result.baseline}: {short(result.baseline_value)}" if result.baseline else ""
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        if result.ratio_goal is not None:
            ratio += f" (>= {result.ratio_goal:.2f})"
        table.add_row(
            result.name,
            short(result.value),
            result.unit,
            "" if result.goal is None else f"{sign} {short(result.goal)}",
            baseline,
            ratio,
            {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[result.met],
        )
    console.print(table)


def short(value: float | None) -> str:
    """As people read it: three digits, or whole with commas."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
