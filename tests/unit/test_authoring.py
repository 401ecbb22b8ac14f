"""What authors of rulebooks are told: every error with its line, and what differs in meaning."""

from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from tierwise.authoring import commands
from tierwise.authoring.difference import Difference, differences
from tierwise.authoring.findings import findings
from tierwise.domain.rulebook import default_text, ready_rulebooks, ready_text
from tierwise.domain.rulebook.form import read

TEXT = default_text()


def changed(*replacements: tuple[str, str], text: str = TEXT) -> str:
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def run(*arguments: object) -> Result:
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, ["rulebook", *map(str, arguments)])


def place_of(wrong: str, text: str) -> tuple[int, int]:
    """Line and column, from 1, of the first place of `wrong`."""
    before = text[: text.index(wrong)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def differing(new: str) -> list[Difference]:
    return differences(read(TEXT), read(new))


@pytest.mark.parametrize("name", ready_rulebooks())
def test_what_comes_with_tierwise_is_valid_and_differs_in_nothing_from_itself(name: str) -> None:
    assert findings(ready_text(name)) == []
    assert differences(read(ready_text(name)), read(ready_text(name))) == []


@pytest.mark.parametrize(
    ("old", "new", "marked", "says"),
    [
        ("pricing_view:     {each", "pricing_vew:     {each", "pricing_vew:     {each", "did you mean 'pricing_view'"),
        ("'intent >= 20'", "'intent >= '", "'}\n  - {stage: prospect", "expected a value"),
        ("'count(purchase) = 1'", "'count(purchas) = 1'", "purchas) = 1", "unknown signal 'purchas'"),
        ("duration_s >= 60'", "duration_s >= and'", "and'}", "expected a value, found 'and'"),
        ("weight: 0.35", "weight: much", "weight: much", "valid number"),
        ("horizon: 1095d", "horizon: 1095", "horizon: 1095", "expected days, such as 30d"),
        ("timezone: Asia/Shanghai", "timezone: Peking", "timezone: Peking", "is no IANA time zone"),
        ("half_score: 40", "half_scor: 40", "half_scor: 40", "is no word that is known here"),
        ("  login:            {each", "  form:            {each", "form:            {each", "stands here twice"),
        ("timezone: Asia/Shanghai", "timezone: [", "currency", "expected ',' or ']'"),
    ],
)
def test_an_error_is_found_where_it_stands(old: str, new: str, marked: str, says: str) -> None:
    text = changed((old, new))
    found = [finding for finding in findings(text) if says in finding.message]
    assert len(found) == 1, findings(text)
    line, column = place_of(marked, text)
    assert found[0].line is not None
    assert found[0].line == line or (says.startswith("expected ','") and found[0].line >= line)
    assert says.startswith("expected ','") or found[0].column == column


def test_all_errors_come_at_once_in_the_order_of_the_document() -> None:
    text = changed(
        ("weight: 0.35", "weight: 0.45"), ("'intent >= 20'", "'intnt >= 20'"), ("otherwise: low", "otherwise: lo")
    )
    found = findings(text)
    assert len(found) == 4
    assert [finding.line for finding in found] == sorted(finding.line or 0 for finding in found)


@pytest.mark.parametrize(
    "text", ["", "just text", "[1, 2]", "a: \x07", "&a [*a]", "? [a, b]\n: 1", "version: *nothing"]
)
def test_what_is_no_rulebook_at_all_is_one_finding_at_least(text: str) -> None:
    assert findings(text)


def test_writing_the_same_otherwise_is_no_difference() -> None:
    text = changed(
        ("{channel: web, type: product_view}", "{type: [product_view], channel: [web]}"),
        ("'duration_s >= 60'", '"(duration_s   >=  60)"'),
        ("half_score: 40 ", "half_score: 40.0 "),
        ("# The default rulebook", "# My rulebook"),
    )
    assert differing(text) == []


def test_a_difference_names_what_changed_from_what_to_what() -> None:
    text = changed(
        ("pricing_view:     {each: 8, ", "pricing_view:     {each: 9, "),
        ("{stage: interested, when: 'intent >= 20'}", "{stage: interested, when: 'intent >= 30'}"),
        ("zh: 查看价格", "zh: 看价格"),
    )
    assert differing(text) == [
        Difference("intent.points", "pricing_view", "changed", "each", "8", "9"),
        Difference("lifecycle", "interested", "changed", "when", "intent >= 20", "intent >= 30"),
        Difference("labels", "pricing_view", "changed", "zh", "查看价格", "看价格"),
    ]


def test_what_came_and_went_is_told_with_all_it_says() -> None:
    signal = "  site_search:      {channel: web, type: search}\n"
    points = next(line for line in TEXT.splitlines(keepends=True) if line.startswith("    site_search:"))
    found = differences(read(changed((signal, ""), (points, ""))), read(TEXT))
    assert [(one.section, one.name, one.change) for one in found] == [
        ("signals", "site_search", "added"),
        ("intent.points", "site_search", "added"),
    ]
    assert found[0].new == "channel: web, type: search"
    assert found[1].new is not None
    assert "half_life: 7d" in found[1].new


def test_the_order_counts_where_the_first_that_holds_is_taken() -> None:
    lines = TEXT.splitlines(keepends=True)
    dormant = next(index for index, line in enumerate(lines) if "stage: dormant" in line)
    lines[dormant], lines[dormant + 1] = lines[dormant + 1], lines[dormant]
    (found,) = differing("".join(lines))
    assert (found.section, found.change, found.field) == ("lifecycle", "moved", "order")
    signals = [index for index, line in enumerate(lines) if line.startswith(("  form: ", "  download: "))]
    lines[signals[0]], lines[signals[1]] = lines[signals[1]], lines[signals[0]]
    assert differing("".join(lines)) == [found]  # that of signals does not


def test_validate_shows_the_line_and_exits_with_1(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(changed(("'count(purchase) = 1'", "'count(purchas) = 1'")))
    result = run("validate", file)
    line, column = place_of("purchas) = 1", file.read_text())
    assert result.exit_code == 1
    assert f"{file}:{line}:{column}: tags." in result.stdout.replace("\n", "")
    assert "did you mean 'purchase'" in result.stdout
    assert "1 error" in result.stdout
    listed = msgspec.json.decode(run("validate", file, "--json").stdout)
    assert [(one["line"], one["column"]) for one in listed] == [(line, column)]
    file.write_text(TEXT)
    assert run("validate", file).exit_code == 0


def test_what_is_not_there_or_not_utf8_is_wrong_use(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_bytes("版本".encode("gb18030"))
    for arguments in (
        ("validate", file),
        ("validate", tmp_path / "none.yaml"),
        ("diff", "default", file),
        ("show", file),
    ):
        assert run(*arguments).exit_code == 2


def test_show_has_a_table_for_every_section_with_labels_in_both_languages(tmp_path: Path) -> None:
    shown = run("show", "default").stdout
    for title in ("Signals", "Intent points", "Intent levels", "Lifecycle", "Tier dimensions", "Tags", "Strategies"):
        assert f"\n{title}" in shown
    assert "浏览" in shown
    document = msgspec.json.decode(run("show", "default", "--json").stdout)
    file = tmp_path / "shown.json"  # YAML takes JSON
    file.write_text(msgspec.json.encode(document).decode().replace(":7,", ":7,"))
    assert document["signals"].keys() == read(TEXT).signals.keys()


def test_diff_says_whether_a_release_folds_again(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(changed(("each: 8, ", "each: 9, ")))
    assert "only classified again" in run("diff", "default", file).stdout.replace("\n", " ")
    file.write_text(changed(("'items >= 3'", "'items >= 4'")))
    assert "folded again" in run("diff", "default", file).stdout.replace("\n", " ")
    found = msgspec.json.decode(run("diff", "default", file, "--json").stdout)
    assert found["folds_again"] is True
    assert found["differences"][0]["name"] == "purchase_basket"
    assert "They say the same" in run("diff", "default", "default").stdout


def test_shares_are_shown_and_compared_as_they_are_written(tmp_path: Path) -> None:
    cuts = next(line for line in TEXT.splitlines() if line.startswith("  cuts: {A"))
    shares = "  shares: {of_customers: {A: 5%, B: 12.5%, C: 30%, D: 30%}, taken: monthly}"
    text = changed((cuts, f"{cuts}\n{shares}"))
    more, sooner = changed(("12.5%", "13%"), text=text), changed(("monthly", "weekly"), text=text)
    (found,) = differences(read(text), read(more))
    assert (found.section, found.name, found.field, found.old, found.new) == (
        "tiers.shares", "of_customers", "B", "12.5%", "13%"
    )  # fmt: skip
    assert [(one.name, one.old, one.new) for one in differences(read(text), read(sooner))] == [
        ("taken", "monthly", "weekly")
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    assert "12.5%" in run("show", file).stdout
    shown = msgspec.json.decode(run("show", file, "--json").stdout)
    assert shown["tiers"]["shares"]["of_customers"] == {"A": "5%", "B": "12.5%", "C": "30%", "D": "30%"}
    file.write_text(changed(("12.5%", "much"), text=text))
    (wrong,) = findings(file.read_text())
    assert (wrong.place, wrong.line) == ("tiers.shares.of_customers.B", text[: text.index(shares)].count("\n") + 1)


def test_the_schema_for_editors_knows_every_name_of_the_document() -> None:
    schema = msgspec.json.decode(run("schema").stdout)
    assert {"signals", "intent", "tiers", "tags"} <= schema["properties"].keys()
