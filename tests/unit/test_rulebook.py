"""Loading a rulebook: right ones load, wrong ones are refused whole, with every error said at its place."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tests.support.random_rulebooks import random_rulebook
from tierwise.domain.rulebook import RulebookError, default_text, load, ready_rulebooks, ready_text

SMALL = (Path(__file__).parents[1] / "support" / "small.yaml").read_text(encoding="utf-8")


def errors(text: str) -> list[str]:
    """Of a text that must not load. Anything else that is raised fails the test."""
    with pytest.raises(RulebookError) as caught:
        load(text)
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


@pytest.mark.parametrize("name", ready_rulebooks())
def test_the_ready_rulebooks_load(name: str) -> None:
    assert load(ready_text(name)).signals


def test_interests_are_counted_only_where_the_rulebook_lists_them() -> None:
    asking = SMALL.replace("'count(view, 30d) >= 20'", "'interests(30d) > 1'")
    assert load(asking)
    [error] = errors(asking.replace(", values: [books]", ""))
    assert error.endswith("interests() counts what the rulebook lists: list it under interests.values")


def test_without_any_labels_names_stand_for_themselves() -> None:
    assert load(SMALL.partition("labels:")[0]).label("high") == {"en": "high", "zh": "high"}


def test_the_small_rulebook_loads() -> None:
    rulebook = load(SMALL)
    assert rulebook.tier_names == ("A", "B", "C")
    assert rulebook.level_names == ("low", "medium", "high")
    assert rulebook.stage_names == ("customer", "prospect")


@pytest.mark.parametrize("seed", range(20))
def test_random_rulebooks_load(seed: int) -> None:
    assert load(random_rulebook(Random(seed), "UTC")).version == "random"


WHEN = "lifecycle.customer: line 1, column"
MESSAGES = [
    ("timezone: Europe/Berlin", "timezone: Europe/Berln", "timezone: 'Europe/Berln' is no IANA time zone"),
    ("channel: web, type: page_view", "channel: wep, type: page_view",
     "signals.view.channel: unknown channel 'wep'; did you mean 'web'?"),
    ("'count(purchase) > 0'", "'count(purchace) > 0'",
     f"{WHEN} 7: unknown signal 'purchace'; did you mean 'purchase'?"),
    ("'count(purchase) > 0'", "'cont(purchase) > 0'", f"{WHEN} 1: unknown function 'cont'; did you mean 'count'?"),
    ("'count(purchase) > 0'", "'rolle = \"x\"'", f"{WHEN} 1: unknown attribute or value 'rolle'; did you mean 'role'?"),
    ("'count(purchase) > 0'", "'tier = \"A\"'", f"{WHEN} 1: unknown attribute or value 'tier'"),
    ("'count(purchase) > 0'", "'count() > 0'", f"{WHEN} 1: write count(signal[, 30d])"),
    ("'count(purchase) > 0'", "'count(30d, purchase) > 0'", f"{WHEN} 1: write count(signal[, 30d])"),
    ("'count(purchase) > 0'", "'days_since(purchase, 7d) > 0'", f"{WHEN} 1: write days_since(signal)"),
    ("'count(purchase) > 0'", "'channels(purchase) > 0'", f"{WHEN} 1: write channels(30d)"),
    ("'count(purchase) > 0'", "'preferred_channel(30d) = \"mail\"'",
     f"{WHEN} 26: unknown value of preferred_channel 'mail'; did you mean 'email'?"),
    ("'count(purchase) > 0'", "'preferred_channel(30d) > 7'", f"{WHEN} 24: a number and a text cannot be compared"),
    (", values: [books]}\n", "}\nstrategies: {stage: {customer: {owner: me}, prospekt: {owner: me}}}\n",
     "strategies.stage.prospekt: unknown stage 'prospekt'; did you mean 'prospect'?"),
    (", values: [books]}\n", "}\nstrategies: {tier: {A: {respond_within: soon}}}\n",
     "strategies.tier.A.respond_within: expected minutes, hours or days, such as 30m, 4h or 2d"),
    ("channel: web, type: page_view", "channel: [web, emial], type: page_view",
     "signals.view.channel: unknown channel 'emial'; did you mean 'email'?"),
    ("'count(purchase) > 0'", "'trend(purchase) > 0'", f"{WHEN} 1: write trend(signal, 30d)"),
    ("'count(purchase) > 0'", "'share(purchase) > 0'", f"{WHEN} 1: write share(signal, signal[, 30d])"),
    ("'count(purchase) > 0'", "'count(purchase, 401d) > 0'",
     f"{WHEN} 1: reaches back 401 days, past the 365 that are kept (the horizon less 90)"),
    ("'count(purchase) > 0'", "'trend(purchase, 201d) > 0'",
     f"{WHEN} 1: reaches back 402 days, past the 365 that are kept (the horizon less 90)"),
    ("'count(purchase) > 0'", "'count(purchase) >'", f"{WHEN} 18: expected a value, found the end"),
    ("'count(purchase) > 0'", "'count(purchase) > sum(purchase)'",
     f"{WHEN} 17: a count and money cannot be compared"),
    ("'count(purchase) > 0'", "'days_since(purchase) - sum(purchase) > 0'",
     f"{WHEN} 22: days - money: weigh them first, such as 0.1 * days_since(...)"),
    ("'count(purchase) > 0'", "'count(purchase)'", f"{WHEN} 1: expected a condition, found a count"),
    ("'count(purchase) > 0'", "'\"a\" + 1 > 0'", f"{WHEN} 1: + needs numbers, found a text"),
    ("'count(purchase) > 0'", "'intent.level = \"hihg\"'",
     f"{WHEN} 16: unknown value of intent.level 'hihg'; did you mean 'high'?"),
    ("'path like \"/*\"'", "'count(view) > 0'",
     "signals.view.where: line 1, column 1: no functions here: only the properties of one interaction are known"),
    ("    view: {each: 5", "    vew: {each: 5", "intent.points.vew: unknown signal 'vew'; did you mean 'view'?"),
    ("{enter: 60, leave: 50}", "{enter: 60, leave: 61}",
     "intent.levels.high: leave 61 must not be above enter 60"),
    ("{enter: 30, leave: 20}", "{enter: 50, leave: 20}",
     "intent.levels.medium: levels go from the highest down, without overlap"),
    ("USD: {2024", "EUR: {2024", "rates: EUR is the base currency, of which the rate is 1"),
    ("{2024-01-01: 0.9}", "{}", "rates.USD: at least one date and rate is needed"),
    ("weight: 0.6", "weight: 0.7", "tiers.dimensions: the weights add up to 1.1, not 1"),
    ("scale: {0: 0, 1000: 100}", "scale: {0: 0, 5: 50, 7: 20}",
     "tiers.dimensions.value.scale: must rise, and its scores not change direction"),
    ("scale: {0: 0, 1000: 100}", "scale: {9: 0, 5: 50}",
     "tiers.dimensions.value.scale: must rise, and its scores not change direction"),
    ("scale: {0: 0, 1000: 100}", "scale: {0: 0, 1000: 101}", "tiers.dimensions.value.scale: scores are 0 to 100"),
    ("{A: 60, B: 30}", "{A: 30, B: 60}", "tiers.cuts: go from the highest down"),
    ("when: 'true'", "when: 'intent > 5'",
     "lifecycle: the last stage must have `when: 'true'`, so that everyone has one"),
    ("  high: {en: High, zh: 高意向}\n", "", "labels: missing for intent.levels: high"),
    ("  browsing.often: {en: Browses often, zh: 高频浏览}", "", "labels: missing for tags: browsing.often"),
    ("'count(view, 30d) >= 20'", "'intent > 3'", None),
    ("signals:\n", "signals:\n  idle: {channel: sms}\n",
     "signals.idle: nothing asks for it: use it in a rule, or take it out"),
    ("half_score: 40", "half_score: 40\n  half_scoer: 3", "intent.half_scoer: is no word that is known here"),
    ("half_life: 7d", "half_life: 7", "intent.points.view.half_life: expected days, such as 30d"),
    ("version: \"small\"\n", "", "version: Field required"),
    ("currency: EUR", "currency: euros", "currency: String should match pattern '^[A-Z]{3}$'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MESSAGES)
def test_a_wrong_rulebook_is_refused_with_place_reason_and_nearest_name(
    old: str, new: str, message: str | None
) -> None:
    if message is None:
        assert load(changed(old, new)).signals
    else:
        assert message in errors(changed(old, new))


WRONG_FORMS = [
    ("half_score: 40", "half_score: much", "intent.half_score"), ("half_life: 7d", "half_life: 7", "view.half_life"),
    ("half_score: 40", "half_scor: 40", "intent.half_scor"), ("horizon: 455d", "horizn: 455d", "horizn"),
    ("attributes: [role]", "attribuets: [role]", "attribuets"), ("version: \"small\"", "version: {}", "version"),
    ("timezone: Europe/Berlin", "timezone: [UTC]", "timezone"), ("currency: EUR", "currency: euros", "currency"),
    ("horizon: 455d", "horizon: 455", "horizon"), ("0.9}", "cheap}", "rates.USD.2024-01-01"),
    ("channel: web, type: page_view", "channel: {}, type: page_view", "signals.view.channel"),
    ("purchase: {channel: order, type: purchase, value: amount}", "purchase: order", "signals.purchase"),
    ("values: [books]", "values: books", "interests.values"),
    ("{source: search, ", "{source: 7-up, ", "acquisition.0.source"),
    ("view: {each: 5, half_life: 7d, at_most: 60}", "view: 5", "intent.points.view"),
    ("at_most: 60", "at_most: -1", "intent.points.view.at_most"), ("points: 8}", "pints: 8}", "intent.fit.0.pints"),
    ("{enter: 60, leave: 50}", "{enter: 160, leave: 50}", "intent.levels.high.enter"),
    ("otherwise: low", "otherwise: [low]", "intent.otherwise"),
    ("stage: customer", "stage: Kunde!", "lifecycle.0.stage"),
    ("when: 'count(purchase) > 0'", "when: [true]", "lifecycle.0.when"),
    ("weight: 0.6", "weight: 60%", "value.weight"),
    ("scale: {0: 0, 1000: 100}", "scale: {0: 0}", "tiers.dimensions.value.scale"),
    ("scale: {0: 0, 1000: 100}", "scale: {0: 0, many: 100}", "tiers.dimensions.value.scale.many"),
    ("metric: 'sum(purchase, 365d)'", "metric: 7", "tiers.dimensions.value.metric"),
    ("A: 60, B", "A: x, B", "tiers.cuts.A"), ("otherwise: C", "otherwise: 5", "tiers.otherwise"),
    ("often: 'count(view, 30d) >= 20'", "often: 1", "browsing.often"),
    ("{often: 'count(view, 30d) >= 20'}", "[often]", "behaviour.browsing"),
    ("high: {en: High,", "high: {de: High,", "high.de"),
    ("    browsing: {often", "    Browsing: {often", "tags.behaviour.Browsing"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place"), WRONG_FORMS)
def test_a_wrong_form_is_said_alone_and_hides_no_wrong_meaning_elsewhere(old: str, new: str, place: str) -> None:
    alone = errors(changed(old, new))
    assert all(f"{place}:" in message or "Field required" in message for message in alone), alone
    text, expected = changed(old, new), []
    for right, wrong, where, region in (
        ('"organic"', '"organic" and', "acquisition.0.where", "acquisition"),
        ("sum(purchase, 365d)", "sum(purchase, 365d) +", "tiers.dimensions.value.metric", "value.metric"),
        ("B: {en: Tier B", "X: {en: Tier B", "labels", "tiers"),
    ):
        if region not in place:
            text = text.replace(right, wrong)
            expected.append(where)
    said = errors(text)
    assert said[: len(alone)] == alone
    assert sorted(message.partition(":")[0] for message in said[len(alone) :]) == sorted(expected)


def test_wrong_forms_and_wrong_meanings_are_said_at_once() -> None:
    text = SMALL.replace("half_life: 7d", "half_life: 7").replace("weight: 0.6", "weight: 0.5")
    text = text.replace("count(purchase)", "count(purchace)").replace("currency: EUR", "currency: euro\nhorizon: 500d")
    assert "the rulebook: line 5, column 1: the key 'horizon' stands here twice" in errors(text)
    assert [message.partition(":")[0] for message in errors(text)] == [
        "the rulebook", "currency", "intent.points.view.half_life", "tiers.dimensions", "lifecycle.customer",
    ]  # fmt: skip


def test_all_errors_are_said_at_once() -> None:
    text = SMALL.replace("Europe/Berlin", "Europe/Berln").replace("weight: 0.6", "weight: 0.5")
    text = text.replace("count(purchase)", "count(purchace)").replace("count(view, 30d)", "count(wiev, 30d)")
    said = errors(text)
    assert [message.partition(":")[0] for message in said] == [
        "timezone", "tiers.dimensions", "lifecycle.customer", "tags.behaviour.browsing.often",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "7", "[]", "a: [", "a: {b", "a: &x [*x]", "\0", "a: 1\na: 2", "a: !!int x", "a: !!timestamp x", "a: !!bool x",
     "[" * 3_000, "a: " + "1" * 5_000, "? {a: b}\n: c", "version: 2026-13-45", "a: !!python/object:os.system x"],
)  # fmt: skip
def test_what_is_no_rulebook_at_all_is_refused(text: str) -> None:
    assert errors(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("half_score: 40", "half_score: .inf"), ("half_score: 40", "half_score: .nan"),
        ("half_score: 40", "half_score: 1e400"), ("half_score: 40", "half_score: 1.0e+300"),
        ("half_score: 40", "half_score: 0.0001"), ("half_score: 40", "half_score: 1.0e+15"),
        ("cuts: {A: 60, B: 30}", "cuts: {A: .inf, B: 30}"), ("cuts: {A: 60, B: 30}", "cuts: {A: .nan, B: 30}"),
        ("cuts: {A: 60, B: 30}", "cuts: {A: 1.0e+400, B: 30}"), ("cuts: {A: 60", "cuts: {A: 9" + "9" * 400),
        ("{0: 0, 1000: 100}", "{0: 0, 1.0e+400: 100}"), ("{0: 0, 1000: 100}", "{-1.0e+400: 0, 1.0e+400: 100}"),
        ("each: 5", "each: .nan"), ("at_most: 60", "at_most: .inf"), ("weight: 0.6", "weight: 1.0e-9"),
        ("timezone: Europe/Berlin", "timezone: Europe"), ("timezone: Europe/Berlin", "timezone: " + "x" * 300),
        ("{often: 'count(view, 30d) >= 20'}", "{}"), ("otherwise: C", "otherwise: A"),
        ("otherwise: low", "otherwise: high"),
        ("values: [books]", "values: [books, books]"), ("values: [books]", "values: [other]"),
        ("0.9}", "0}"), ("0.9}", ".inf}"), ("2024-01-01: 0.9", "2024-13-01: 0.9"),
    ],
)  # fmt: skip
def test_a_value_that_could_not_be_computed_with_is_refused(old: str, new: str) -> None:
    assert errors(changed(old, new))


@proof
@given(st.integers(0, len(SMALL)), st.integers(0, 12), st.text(max_size=6) | st.sampled_from("{}[]:'\"#&*!|>%@-,"))
def test_a_mutated_rulebook_loads_or_is_refused_with_messages(at: int, length: int, inserted: str) -> None:
    try:
        load(SMALL[:at] + inserted + SMALL[at + length :])
    except RulebookError as error:
        assert all(error.errors)  # noqa: PT017


@proof
@given(st.data())
def test_a_rulebook_with_lines_dropped_doubled_and_swapped_loads_or_is_refused(data: st.DataObject) -> None:
    lines = SMALL.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        first, second = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        change = data.draw(st.sampled_from(["drop", "double", "swap"]))
        if change == "drop":
            del lines[first]
        elif change == "double":
            lines.insert(second, lines[first])
        else:
            lines[first], lines[second] = lines[second], lines[first]
    try:
        load("\n".join(lines))
    except RulebookError as error:
        assert all(error.errors)  # noqa: PT017


@pytest.mark.parametrize(
    ("old", "new", "folded_again"),
    [
        ("type: page_view", "type: search", True), ("Europe/Berlin", "Asia/Shanghai", True), ("0.9}", "0.8}", True),
        ("values: [books]", "values: [food]", True), ("each: 5", "each: 6", False), ("A: 60", "A: 61", False),
        ("half_life: 7d", "half_life: 8d", False), ("count(view, 30d)", "count(view, 31d)", False),
        ("horizon: 455d", "horizon: 500d", True),
        ('version: "small"', 'version: "smaller"', False), ("role = \"owner\"", "role = \"boss\"", False),
    ],
)  # fmt: skip
def test_only_what_decides_how_interactions_are_folded_changes_the_fold_version(
    old: str, new: str, *, folded_again: bool
) -> None:
    assert (load(changed(old, new)).fold_version != load(SMALL).fold_version) is folded_again


def test_loading_gives_the_same_fold_version_every_time() -> None:
    assert load(default_text()).fold_version == load(default_text()).fold_version
