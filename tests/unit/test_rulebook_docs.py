"""The page that teaches the rulebook: all that it shows is loaded, computed and compared."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import typer
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from tests.support.kernel import attributes_of_all, fold_all
from tests.support.pages import ROOT, Example, blocks, examples, merged, rows
from tierwise.authoring import commands
from tierwise.domain.classify import attribute_columns, classify_history
from tierwise.domain.document import load_yaml
from tierwise.domain.explain import explain
from tierwise.domain.history import History
from tierwise.domain.interaction import CHANNELS, Interaction
from tierwise.domain.match import match
from tierwise.domain.rulebook import Rulebook, RulebookError, load
from tierwise.domain.rulebook.check import FUNCTIONS
from tierwise.domain.rulebook.evaluate import evaluate
from tierwise.domain.rulebook.parse import parse
from tierwise.domain.rulebook.schema import Document
from tierwise.domain.view import tags_of

ENGLISH, CHINESE = "docs/rulebook.md", "docs/rulebook.zh-CN.md"
NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)
EXAMPLES = list(examples(ENGLISH))


def of_kind(*kinds: str) -> pytest.MarkDecorator:
    chosen = [one for one in EXAMPLES if one.block.kind in kinds]
    return pytest.mark.parametrize("example", chosen, ids=[f"line {one.block.line}" for one in chosen])


def classified(history: Sequence[Interaction], rulebook: Rulebook, now: datetime) -> tuple[Any, History]:
    """One customer's result, and the history with all that was computed on the way."""
    past = [one for one in history if one.time <= now]
    ledgers = fold_all([past], rulebook)
    columns = attribute_columns(attributes_of_all([past], rulebook), rulebook)
    known = History(ledgers, columns, rulebook.days.day_of(now), rulebook)
    return classify_history(known, ledgers, rulebook).result[0], known


def shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "unknown"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:.10g}"


@of_kind("yaml", "yaml whole")
def test_rulebooks_and_their_parts_load(example: Example) -> None:
    assert load(example.rulebook).signals


@of_kind("expr")
def test_expressions_have_the_values_that_are_shown(example: Example) -> None:
    loaded = load(example.rulebook)
    rulebook = replace(loaded, used=frozenset(loaded.signal_names))  # expressions of the page are in no rule
    _, known = classified(example.history, rulebook, NOON)
    values = [(text, shown(evaluate(parse(text), known).tolist()[0])) for text, _ in rows(example.block.text)]
    assert values == rows(example.block.text)


@of_kind("where")
def test_conditions_on_one_interaction_hold_as_shown(example: Example) -> None:
    [one] = [json.loads(block.text) for block in blocks(ENGLISH) if block.kind == "interaction"]
    time = datetime.fromisoformat(one.pop("time"))
    interaction = Interaction(source="page", time=time, received=time, **one)
    for text, holds in rows(example.block.text):
        probe = {"signals": {"probe": {"where": text}}, "intent": {"points": {"probe": {"each": 1, "half_life": "7d"}}}}
        rulebook = load(yaml.safe_dump(merged(load_yaml(example.rulebook), probe), sort_keys=False))
        matched = rulebook.signal_ids[rulebook.signal_index["probe"]] in match([interaction], rulebook).signal
        assert (text, shown(bool(matched))) == (text, holds)


@of_kind("json")
def test_results_are_the_ones_shown(example: Example) -> None:
    rulebook = load(example.rulebook)
    result, _ = classified(example.history, rulebook, NOON)
    expected = json.loads(example.block.text)
    found = {
        "intent": {
            "score": int(result["score"]) / 10,
            "points": round(int(result["points"]) / 65_536_000, 1),
            "level": rulebook.level_names[result["level"]],
        },
        "lifecycle": {"stage": rulebook.stage_names[result["stage"]]},
        "tier": {
            "grade": rulebook.tier_names[result["tier"]],
            "score": (int(result["tier_score"]) + 5) // 10 / 10,
            "dimensions": {
                one.name: tenths / 10
                for one, tenths in zip(rulebook.dimensions, result["dimensions"].tolist(), strict=True)
            },
        },
        "tags": [{"family": family, "name": name, "value": value} for family, name, value in tags_of(result, rulebook)],
    }
    assert merged(found, expected) == found


@of_kind("points")
def test_points_are_made_of_the_parts_that_are_shown(example: Example) -> None:
    rulebook = load(example.rulebook)
    columns = attribute_columns(attributes_of_all([example.history], rulebook), rulebook)
    intent = explain(fold_all([example.history], rulebook), columns, NOON, rulebook).intent
    exact = {one.name: one.exact / intent.exact_per_point for one in intent.parts if hasattr(one, "name")}
    assert {name: f"{exact[name]:.3f}" for name, _ in rows(example.block.text)} == {
        name: f"{float(points):.3f}" for name, points in rows(example.block.text)
    }


@of_kind("levels")
def test_levels_follow_the_days_as_shown(example: Example) -> None:
    rulebook = load(example.rulebook)
    for day_and_score, level in rows(example.block.text):
        day, score = day_and_score.split()
        noon = datetime.fromisoformat(f"{day}T12:00:00+08:00")
        result, _ = classified(example.history, rulebook, noon)
        assert (day, f"{int(result['score']) / 10}", rulebook.level_names[result["level"]]) == (day, score, level)


def test_wrong_rulebooks_are_refused_in_the_words_that_are_shown() -> None:
    pairs = [
        (example, EXAMPLES[index + 1]) for index, example in enumerate(EXAMPLES) if example.block.kind == "yaml wrong"
    ]
    assert pairs
    for wrong, said in pairs:
        with pytest.raises(RulebookError) as caught:
            load(wrong.rulebook)
        assert "\n".join(caught.value.errors) + "\n" == said.block.text


def test_the_command_for_editors_prints_the_schema() -> None:
    [shell] = [block.text for block in blocks(ENGLISH) if block.kind == "sh"]
    program, *arguments = shell.partition(">")[0].split()
    app = typer.Typer()
    commands.register(app)
    printed = CliRunner().invoke(app, arguments)
    assert (program, printed.exit_code) == ("tierwise", 0)
    assert "timezone" in json.loads(printed.stdout)["properties"]


def table(title: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    text = (ROOT / ENGLISH).read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[2:]]


def test_the_reference_has_every_function_with_its_unit() -> None:
    units = {cells[0].strip("`").partition("(")[0]: cells[2] for cells in table("Reference: functions")}
    assert units == {name: str(function.unit) for name, function in FUNCTIONS.items()}


def test_the_reference_has_every_channel() -> None:
    assert [cells[0].strip("`") for cells in table("Reference: channels and types")] == list(CHANNELS)


def test_the_reference_has_every_field_and_says_which_are_needed() -> None:
    listed = {cells[0].strip("`"): cells[1] == "needed" for cells in table("Reference: fields")}
    known = dict(fields(Document))
    assert sorted(re.sub(r"\.[A-Z]+\b", ".*", name) for name in listed) == sorted(known)
    assert {name: known[re.sub(r"\.[A-Z]+\b", ".*", name)] for name in listed} == listed


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, bool]]:
    """(path, whether it is needed) of every field; `*` stands for names that the author gives."""
    for name, field in model.model_fields.items():
        place = f"{path}{field.alias or name}"
        if place == "strategies":
            yield from fields(_inner(field.annotation)[1], "strategies.tier.*.")
            continue
        names, inner = _inner(field.annotation)
        if inner is not None:
            yield from fields(inner, f"{place}{names}.")
        else:
            authored = place in ("rates", "tags")
            yield f"{place}{names}" if authored else place, field.is_required()


def _inner(annotation: Any) -> tuple[str, Any]:
    """(`.*` for each mapping on the way, the model inside or None)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        names, inner = _inner(arguments[1])
        return f".*{names}", inner
    if origin is tuple or origin in (Union, UnionType) or hasattr(annotation, "__metadata__"):
        return _inner(arguments[0])
    return "", None


@pytest.mark.parametrize("cells", table("What a release costs"), ids=lambda cells: str(cells[0]))
def test_changes_need_folding_again_as_the_table_says(cells: list[str]) -> None:
    _, example, again = cells
    base = load_yaml(next(one.block.text for one in EXAMPLES if one.block.kind == "yaml whole"))
    changed = merged(base, load_yaml(example.strip("`")))
    versions = {load(yaml.safe_dump(one, sort_keys=False)).fold_version for one in (base, changed)}
    assert again == ("yes" if len(versions) == 2 else "no")


def test_the_chinese_page_shows_the_same_blocks() -> None:
    english, chinese = ([(one.kind, one.text) for one in blocks(page)] for page in (ENGLISH, CHINESE))
    assert chinese == english


@pytest.mark.parametrize("page", [ENGLISH, CHINESE])
def test_links_of_the_page_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in (ROOT / ENGLISH).read_text(encoding="utf-8").splitlines()
        if line.startswith("##")
    }
    for link in re.findall(r"\]\(([^)]+)\)", text):
        file, _, heading = link.partition("#")
        assert (ROOT / "docs" / file).exists(), link
        assert not heading or heading in headings, link
