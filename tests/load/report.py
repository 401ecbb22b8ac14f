"""docs/performance.md: one table a benchmark, each written by the run that measured it."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.load.bench import Result, short

PAGE: Final = Path("docs") / "performance.md"


def write_section(name: str, told: str, results: Sequence[Result]) -> None:
    """Put the section of the benchmark in the place of the one that is there, or at the end. `told`: what it does."""
    page = PAGE.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    section = "\n".join([begin, f"### {name}", "", told, "", *_table(results), "", f"*{_where()}*", end])
    if begin in page:
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: section, page, flags=re.DOTALL)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    PAGE.write_text(page)


def _table(results: Sequence[Result]) -> list[str]:
    rows = [
        "| figure | value | unit | goal | beside it, in the same run | ratio | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        sign = "≤" if result.lower_is_better else "≥"
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        if result.ratio_goal is not None:
            ratio += f" (≥ {result.ratio_goal:.2f})"
        cells = (
            result.name,
            short(result.value),
            result.unit,
            "" if result.goal is None else f"{sign} {short(result.goal)}",
            f"{result.baseline}: {short(result.baseline_value)}" if result.baseline else "",
            ratio,
            {None: "", True: "yes", False: "**no**"}[result.met],
        )
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _where() -> str:
    cores = os.cpu_count()
    moment = datetime.now(UTC).date().isoformat()
    return f"{moment}; {cores} cores, {_processor()}; {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    """As the kernel names it."""
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    except FileNotFoundError:
        names = []
    return names[0] if names else platform.machine()
