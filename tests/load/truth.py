"""Truth: what the default rulebook, unchanged, says of real customers, against what they did afterwards.

Needs the data sets, which are not part of the project: in the directory TIERWISE_REAL_DATA, else in `shared/data`
beside the checkout. Scores are taken as users see them, from the rows of `tierwise classify`.
"""

import csv
import os
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import typer

from tests.load.bench import Result, Unmeasurable, benchmark
from tierwise.classifying.views import View
from tierwise.cli import build

CALIBRATED: Final = "1997-09-30"
A_MONTH_LATER: Final = "1997-10-31"
IMPORTED: Final = "2026-11-20"  # the leads have no dates: all happened at the import

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@benchmark("truth-cdnow")
async def truth_cdnow() -> AsyncIterator[Result]:
    """Learn on purchases to 1997-09-30, hold out the 39 weeks to 1998-06-30, all customers of the master file."""
    file = real_data("CDNOW_master.txt")
    before, after = classified(file, "cdnow", [CALIBRATED, A_MONTH_LATER])
    held_out = revenue_after(file, CALIBRATED.replace("-", ""))
    revenue = np.array([held_out[customer] for customer in before])
    again = np.array([held_out[customer] > 0 for customer in before])
    tier = np.array([view["tier"]["score"] for view in before.values()])
    intent = np.array([view["intent"]["points"] for view in before.values()])
    yield Result(name="truth-cdnow-tier", value=area_under_curve(tier, again), unit="AUC, any purchase", goal=0.755)
    yield Result(name="truth-cdnow-intent", value=area_under_curve(intent, again), unit="AUC, any purchase")
    yield Result(
        name="truth-cdnow-top-fifth",
        value=float(revenue[np.argsort(-tier, kind="stable")[: len(tier) // 5]].sum() / revenue.sum()),
        unit="of holdout revenue",
        goal=0.64,
    )
    same = [view["tier"]["grade"] == after[customer]["tier"]["grade"] for customer, view in before.items()]
    yield Result(
        name="truth-cdnow-tiers-unchanged", value=float(np.mean(same)), unit="of customers, a month later", goal=0.90
    )


@benchmark("truth-leads")
async def truth_leads() -> AsyncIterator[Result]:
    """X Education: the mapping takes event fields only, nothing that sales staff filled in afterwards."""
    file = real_data("x_education_lead_scoring.csv")
    with file.open(encoding="utf-8", newline="") as rows:
        converted = {row["Prospect ID"]: row["Converted"] == "1" for row in csv.DictReader(rows)}
    (leads,) = classified(file, "x-education", [IMPORTED])
    points = np.array([view["intent"]["points"] for view in leads.values()])
    truth = np.array([converted[lead] for lead in leads])
    yield Result(name="truth-leads-intent", value=area_under_curve(points, truth), unit="AUC, converted", goal=0.75)
    for level in ("high", "medium", "low"):
        chosen = np.array([view["intent"]["level"] == level for view in leads.values()])
        yield Result(name=f"truth-leads-{level}", value=float(truth[chosen].mean()), unit="converted, of that level")


def real_data(name: str) -> Path:
    """Raises Unmeasurable where the file is not there."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    file = Path(os.environ.get("TIERWISE_REAL_DATA", beside)) / name
    if not file.is_file():
        raise Unmeasurable(f"{file} is not there: name its directory in TIERWISE_REAL_DATA")
    return file


def classified(file: Path, mapping: str, times: Sequence[str]) -> list[dict[str, View]]:
    """For each time the views of all customers by their only identifier, in its order."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "views.ndjson"
        as_of = [argument for time in times for argument in ("--as-of", time)]
        arguments = ["classify", str(file), "--mapping", mapping, *as_of, "-o", str(output)]
        typer.main.get_command(build())(arguments, standalone_mode=False)
        found: dict[str, dict[str, View]] = defaultdict(dict)
        for line in output.read_bytes().splitlines():
            view = msgspec.json.decode(line)
            (identifier,) = view["identifiers"]
            found[view["as_of"]][identifier["value"]] = view
    return list(found.values())


def revenue_after(file: Path, day: str) -> dict[str, float]:
    """Dollars by customer, of the days after that one (YYYYMMDD), read from the file without the product."""
    revenue: dict[str, float] = defaultdict(float)
    for line in file.read_text("utf-8").splitlines()[1:]:
        customer, date, _, dollars = line.split()
        revenue[customer] += float(dollars) if date > day else 0.0
    return revenue


def area_under_curve(score: Floats, truth: Bools) -> float:
    """The chance that one of the true ones scores above one of the others; ties count half."""
    _, place, times = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(times) - (times - 1) / 2)[place]
    positive = int(truth.sum())
    above = rank[truth].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(truth) - positive)))
