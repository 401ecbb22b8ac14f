"""Results of older rulebooks, name by name in the layout of another one."""

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.support.histories import random_history
from tests.support.kernel import attributes_of_all, distinct, fold_all
from tierwise.domain.change import Changes, differences, names_of
from tierwise.domain.classify import Classifications, attribute_columns, classify
from tierwise.domain.rulebook import Rulebook, default_text, load
from tierwise.domain.translate import Held, translate, unpack_results

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
OLD = load(default_text())
CUTS = "cuts: {A: 65, B: 45, C: 28, D: 12}\n  otherwise: E"


def another(*edits: tuple[str, str]) -> Rulebook:
    text = default_text().replace('version: "2026-11"', 'version: "next"')
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return load(text)


def classified(rulebook: Rulebook, customers: int = 200) -> Classifications:
    draw = random.Random(11)
    histories = [distinct(random_history(draw, NOW, rulebook.days.zone)) for _ in range(customers)]
    columns = attribute_columns(attributes_of_all(histories, rulebook), rulebook)
    return classify(fold_all(histories, rulebook), columns, NOW + timedelta(days=1), rulebook)


def everyone(result: np.ndarray) -> np.ndarray:
    return np.arange(len(result))


def by_aspect(changes: list[Changes]) -> dict[str, list[tuple[str | None, str | None]]]:
    return {change.aspect: list(zip(change.old, change.new, strict=True)) for change in changes}


def test_a_rulebook_that_says_the_same_translates_to_the_same() -> None:
    result, same = classified(OLD).result, another()
    translated = translate([Held(OLD, everyone(result), result)], len(result), same)
    assert translated.result.tobytes() == result.tobytes()
    assert translated.names == names_of(same)
    assert translated.gone == []


def test_names_keep_their_meaning_where_their_order_is_another() -> None:
    browsing = (
        "    browsing:      {high: 'count(page_view, 30d) >= 20', low: 'count(page_view, 30d) between 1 and 4'}\n"
    )
    clicking = "    clicking:      {high: 'count(email_click, 90d) >= 5'"
    swapped = browsing.replace("{high: ", "{low: 'count(page_view, 30d) between 1 and 4', high: ").replace(
        ", low: 'count(page_view, 30d) between 1 and 4'}", "}"
    )
    new = another((browsing, ""), (clicking, f"{swapped}{clicking}"),
                  ("email:         {unsub", "mail:          {unsub"),
                  ("email.unsubscribed:", "mail.unsubscribed:"), ("email.engaged:", "mail.engaged:"),
                  ("email.lapsed:", "mail.lapsed:"))  # fmt: skip
    before, after = classified(OLD), classified(new)
    translated = translate([Held(OLD, everyone(before.result), before.result)], len(before.result), new)
    known = np.ones(len(before.result), np.bool_)
    changes = by_aspect([*differences(translated.result, known, after, new, translated.names), *translated.gone])
    assert {name for name, pairs in changes.items() if pairs} == {"tag:behaviour.mail", "tag:behaviour.email"}
    assert {new for _, new in changes["tag:behaviour.email"]} == {None}
    assert {old for old, _ in changes["tag:behaviour.mail"]} == {None}


def test_what_has_no_counterpart_differs_from_everything_and_keeps_its_name() -> None:
    new = another(
        (CUTS, "cuts: {gold: 65, silver: 45}\n  otherwise: E"),
        ("    A: {owner: acc", "    gold: {owner: acc"), ("    B: {owner: sen", "    silver: {owner: sen"),
        ("    C: {owner: sales, respond_within: 1d, service: standard, offers: [seasonal]}\n", ""),
        ("    D: {owner: inside_sales, respond_within: 2d, service: standard, offers: [newsletter]}\n", ""),
        ("  A: {en: Tier A", "  gold: {en: Tier A"), ("  B: {en: Tier B", "  silver: {en: Tier B"),
    )  # fmt: skip
    before, after = classified(OLD), classified(new)
    translated = translate([Held(OLD, everyone(before.result), before.result)], len(before.result), new)
    assert translated.names.tiers == ("gold", "silver", "E", "A", "B", "C", "D")
    known = np.ones(len(before.result), np.bool_)
    tiers = by_aspect(list(differences(translated.result, known, after, new, translated.names)))["tier"]
    right = [
        (OLD.tier_names[was], new.tier_names[now])
        for was, now in zip(before.result["tier"].tolist(), after.result["tier"].tolist(), strict=True)
        if OLD.tier_names[was] != new.tier_names[now]
    ]
    assert tiers == right
    assert len({old for old, _ in tiers}) > 2


def test_customers_of_several_rulebooks_are_translated_at_once() -> None:
    middle = another(
        ("{A: 65, B: 45", "{top: 65, B: 45"), ("  A: {en", "  top: {en"), ("    A: {owner", "    top: {owner")
    )
    first, second = classified(OLD).result, classified(middle).result
    half = len(first) // 2
    index = everyone(first)
    held = [Held(OLD, index[:half], first[:half]), Held(middle, index[half:], second[half:])]
    translated = translate(held, len(first), another())
    names = [translated.names.tiers[code] for code in translated.result["tier"].tolist()]
    assert names[:half] == [OLD.tier_names[code] for code in first["tier"][:half].tolist()]
    assert names[half:] == [middle.tier_names[code] for code in second["tier"][half:].tolist()]


def test_what_cannot_be_read_is_not_known() -> None:
    [one, other] = classified(OLD, customers=2).result
    beyond = other.copy()
    beyond["stage"] = len(OLD.stage_names)
    result, known = unpack_results([one.tobytes(), b"short", beyond.tobytes()], OLD)
    assert known.tolist() == [True, False, False]
    assert result[0] == one
    assert result[1:].tobytes() == bytes(2 * OLD.result.itemsize)


@pytest.mark.parametrize(
    ("edit", "again"),
    [
        (("{A: 65", "{A: 70"), False),
        (("each: 8,   half_life: 7d", "each: 9,   half_life: 8d"), False),
        (("timezone: Asia/Shanghai", "timezone: Europe/Berlin"), True),
        (("duration_s >= 60'", "duration_s >= 90'"), True),
        (("{source: phone,      channel: call,", "{source: direct,     channel: call,"), True),
        (("2026-01-01: 7.05", "2026-01-01: 7.06"), True),
    ],
)
def test_folding_again_is_only_needed_where_folding_would_differ(edit: tuple[str, str], again: bool) -> None:
    text = default_text().replace(*edit)
    assert (load(text).fold_version != OLD.fold_version) is again
