"""`tierwise classify`: the customers of a file as they stood at a time, without a service or a database."""

import csv
import gzip
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner, Result

from tierwise.classifying import commands, gather, pool
from tierwise.domain.rulebook import RulebookError, default_text

JUNE, JULY, LATER = "2026-06-30", "2026-07-31", "2026-10-01"


def item(id_: str, time: str, channel: str, type_: str, identifiers: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"id": id_, "time": time, "channel": channel, "type": type_, "identifiers": identifiers, **more}


def bought(id_: str, time: str, amount: str, **identifiers: str) -> dict[str, Any]:
    return item(id_, time, "order", "purchase", identifiers, properties={"amount": amount, "category": "books"})


HISTORY = [
    item("1", "2026-06-01T10:00:00+08:00", "web", "page_view", {"anonymous_id": "a1"}, properties={"path": "/pricing"}),
    bought("2", "2026-06-02T10:00:00+08:00", "120.00", user_id="u1"),
    bought("3", "2026-06-03T23:30:00+08:00", "80.50", user_id="u2"),
    item("4", "2026-06-04T10:00:00+08:00", "crm", "lead_created", {"user_id": "u2"}, attributes={"segment": "new"}),
    item("5", "2026-07-01T10:00:00+08:00", "web", "login", {"anonymous_id": "a1", "user_id": "u1"}),
    item(
        "6", "2026-07-02T10:00:00+08:00", "crm", "note", {"user_id": "u2"}, attributes={"segment": "old", "vip": True}
    ),
    bought("7", "2026-07-03T10:00:00+08:00", "33.00", email="Li@Example.com"),
    item("8", "2026-08-03T10:00:00+08:00", "email", "clicked", {"email": "li@example.com", "user_id": "u2"}),
]


def write(path: Path, items: Sequence[dict[str, Any]]) -> Path:
    path.write_bytes(msgspec.json.Encoder().encode_lines(items))
    return path


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return write(tmp_path / "history.ndjson", HISTORY)


def run(*arguments: object) -> Result:
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, list(map(str, arguments)))


def classified(*arguments: object) -> list[dict[str, Any]]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return [msgspec.json.decode(line) for line in result.stdout.splitlines()]


def as_of(*times: str) -> list[str]:
    return [argument for time in times for argument in ("--as-of", time)]


def values(view: dict[str, Any]) -> list[str]:
    return [identifier["value"] for identifier in view["identifiers"]]


def test_a_row_has_the_shape_of_the_current_view(history: Path) -> None:
    rows = {values(row)[0]: row for row in classified(history, *as_of(JULY))}
    buyer = rows["u2"]
    assert buyer["as_of"] == "2026-07-31T15:59:59.999999Z"  # the end of the day in the business time zone
    assert buyer["orders"] == {
        "count": 1, "amount": "80.50", "currency": "CNY", "first": "2026-06-03", "last": "2026-06-03"
    }  # fmt: skip
    assert buyer["attributes"] == {"segment": "old", "vip": True}
    assert buyer["interests"] == ["books"]
    assert (buyer["first_seen"], buyer["interactions"]) == ("2026-06-03T15:30:00Z", 3)
    assert buyer["intent"]["points"] > 0
    assert round(buyer["intent"]["score"], 1) == buyer["intent"]["score"]
    assert buyer["tier"]["dimensions"].keys() >= {"value", "frequency"}
    assert buyer["lifecycle"]["since"] is None
    assert values(rows["li@example.com"]) == ["li@example.com"]  # normalised, not masked


def test_what_came_after_the_time_does_not_exist(history: Path, tmp_path: Path) -> None:
    until_june = write(tmp_path / "june.ndjson", [one for one in HISTORY if one["time"] < "2026-07"])
    rows = classified(history, *as_of(JUNE))
    assert rows == classified(until_june, *as_of(JUNE))
    assert [values(row) for row in rows] == [["u1"], ["u2"], ["a1"]]  # nobody who was first seen later


def test_a_tie_counts_from_when_it_was_made(history: Path) -> None:
    rows = classified(history, *as_of(JUNE, JULY, LATER))
    by_time = {time: [values(row) for row in rows if row["as_of"].startswith(time)] for time in (JUNE, JULY, LATER)}
    assert by_time[JUNE] == [["u1"], ["u2"], ["a1"]]
    assert by_time[JULY] == [["a1", "u1"], ["u2"], ["li@example.com"]]
    assert by_time[LATER] == [["a1", "u1"], ["li@example.com", "u2"]]
    assert len({row["customer_id"] for row in rows if "u1" in values(row)}) == 1


def test_a_series_is_what_each_time_gives_alone(history: Path) -> None:
    alone = [row for time in (JUNE, JULY, LATER) for row in classified(history, *as_of(time))]
    assert classified(history, *as_of(JULY, LATER, JUNE, JULY)) == alone


@pytest.mark.parametrize("rows_at_once", [1, 3, 20_000])
def test_neither_order_nor_batches_nor_repetition_change_anything(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    expected = classified(history, *as_of(JUNE, LATER))
    monkeypatch.setattr(gather, "BATCH_ROWS", rows_at_once)
    monkeypatch.setattr(pool, "CUSTOMERS_AT_ONCE", 2)
    repeated = [*HISTORY, *HISTORY[:4]]
    random.Random(rows_at_once).shuffle(repeated)
    result = run(write(tmp_path / "other.ndjson", repeated), *as_of(JUNE, LATER))
    assert [msgspec.json.decode(line) for line in result.stdout.splitlines()] == expected
    assert "8 interactions, 4 duplicates" in result.stderr


@pytest.mark.parametrize("ending", [".ndjson", ".csv", ".parquet"])
def test_many_processes_give_the_same_as_one(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    one, many = tmp_path / f"one{ending}", tmp_path / f"many{ending}"
    monkeypatch.setattr(pool, "CUSTOMERS_AT_ONCE", 1)
    assert run(history, *as_of(JUNE, LATER), "-o", one).exit_code == 0
    monkeypatch.setattr(pool, "CUSTOMERS_WORTH_A_POOL", 0)
    assert run(history, *as_of(JUNE, LATER), "-o", many).exit_code == 0
    assert one.read_bytes() == many.read_bytes()


def test_tables_say_the_same_with_dots_in_their_names(history: Path, tmp_path: Path) -> None:
    rows = classified(history, *as_of(LATER))
    for name in ("out.csv", "out.parquet", "out.ndjson"):
        assert run(history, *as_of(LATER), "-o", tmp_path / name).exit_code == 0
    assert [msgspec.json.decode(line) for line in (tmp_path / "out.ndjson").read_bytes().splitlines()] == rows
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        texts = list(csv.DictReader(file))
    for row, cells, text in zip(rows, table, texts, strict=True):
        assert cells["tier.score"] == row["tier"]["score"] == float(text["tier.score"])
        assert cells["orders.count"] == row["orders"]["count"]
        assert cells["attributes.segment"] == row["attributes"].get("segment")
        assert msgspec.json.decode(cells["tags"]) == row["tags"] == msgspec.json.decode(text["tags"])
        assert (text["intent.points"], text["owner"]) == (str(row["intent"]["points"]), "")
    assert table[0].keys() == texts[0].keys()


def test_why_adds_the_whole_explanation_to_every_row(history: Path) -> None:
    rows = classified(history, *as_of(JUNE, LATER), "--why")
    assert [{name: row[name] for name in row if name != "why"} for row in rows] == classified(
        history, *as_of(JUNE, LATER)
    )
    for row in rows:
        why = row["why"]
        assert (why["as_of"], why["rulebook"]) == (row["as_of"], row["rulebook"])
        assert (why["tier"]["grade"], round(why["tier"]["score"] + 1e-9, 1)) == tuple(row["tier"].values())[:2]
        assert sum(part["exact"] for part in why["tier"]["parts"]) == why["tier"]["exact"]
        assert why["intent"]["score"] == row["intent"]["score"]
        assert why["lifecycle"]["value"] == row["lifecycle"]["stage"]
        held = {tag["aspect"]: tag["value"] for tag in why["tags"] if tag["value"] is not None}
        assert held == {f"tag:{tag['family']}.{tag['name']}": tag["value"] for tag in row["tags"]}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_why_adds_its_sentences_to_tables_a_column_for_each_language(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    file = tmp_path / f"out{ending}"
    monkeypatch.setattr(pool, "EXPLAINED_AT_ONCE", 1)
    assert run(history, *as_of(LATER), "--why", "-o", file).exit_code == 0
    table = (
        list(csv.DictReader(io.StringIO(file.read_text("utf-8"), newline="")))
        if ending == ".csv"
        else pyarrow.parquet.read_table(file).to_pylist()
    )
    for row, cells in zip(classified(history, *as_of(LATER), "--why"), table, strict=True):
        for language in ("en", "zh"):
            said = cells[f"why.{language}"]
            for part in ("intent", "tier", "lifecycle"):
                assert row["why"][part]["words"][language] in said
            assert all(tag["words"][language] in said for tag in row["why"]["tags"] if tag["value"] is not None)
        assert not any(name.startswith("why.tier") for name in cells)


def test_why_tells_amounts_that_are_in_no_sum(tmp_path: Path) -> None:
    order = bought("1", "2026-06-02T10:00:00+08:00", "120.00", user_id="u1")
    order["properties"]["currency"] = "XTS"
    file, table = write(tmp_path / "foreign.ndjson", [order]), tmp_path / "out.csv"
    (row,) = classified(file, *as_of(JUNE), "--why")
    assert (row["orders"]["count"], row["orders"]["amount"], row["why"]["unconverted"]) == (1, "0.00", {"XTS": 1})
    assert run(file, *as_of(JUNE), "--why", "-o", table).exit_code == 0
    assert "1 amount in XTS: no rate is known, in no sum." in table.read_text("utf-8")


def test_a_file_in_which_nobody_was_yet_gives_an_empty_table(history: Path, tmp_path: Path) -> None:
    assert classified(history, *as_of("2020-01-01")) == []
    for name in ("none.csv", "none.parquet"):
        assert run(history, *as_of("2020-01-01"), "-o", tmp_path / name).exit_code == 0
    assert (tmp_path / "none.csv").read_text().startswith("customer_id,as_of,identifiers,")
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").num_rows == 0


def test_what_has_no_time_happened_at_the_first_time_unless_another_is_given(tmp_path: Path) -> None:
    timeless = {name: value for name, value in HISTORY[1].items() if name != "time"}
    file = write(tmp_path / "timeless.ndjson", [timeless])
    assert classified(file, *as_of(JULY, LATER))[0]["last_seen"] == "2026-07-31T15:59:59.999999Z"
    assert classified(file, *as_of(LATER), "--time", "2026-07-02T00:00:00Z")[0]["last_seen"] == "2026-07-02T00:00:00Z"


def test_times_without_zone_are_in_the_rulebooks(history: Path, tmp_path: Path) -> None:
    assert [values(row) for row in classified(history, *as_of("2026-06-02T10:00:00"))] == [["u1"], ["a1"]]
    in_utc = tmp_path / "utc.yaml"
    in_utc.write_text(default_text().replace("timezone: Asia/Shanghai", "timezone: UTC"))
    rows = classified(history, *as_of("2026-06-02T01:00:00"), "--rulebook", in_utc)
    assert [values(row) for row in rows] == [["a1"]]


def test_rejected_rows_are_told_and_their_neighbours_classified(history: Path, tmp_path: Path) -> None:
    file, errors = tmp_path / "mixed.ndjson", tmp_path / "errors.ndjson"
    file.write_bytes(b'{"id": "x"}\nnonsense\n' + history.read_bytes())
    result = run(file, *as_of(JUNE), "--errors", errors)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert "line 2" in result.stderr
    assert "2 rows rejected" in result.stderr
    assert [msgspec.json.decode(line)["line"] for line in errors.read_bytes().splitlines()] == [1, 2]


def test_a_file_of_nothing_usable_fails(tmp_path: Path) -> None:
    file = tmp_path / "none.ndjson"
    file.write_text("nonsense\n")
    assert run(file, *as_of(JUNE)).exit_code == 1


def test_a_file_that_breaks_off_leaves_what_was_written_before(history: Path, tmp_path: Path) -> None:
    output, broken = tmp_path / "out.csv", tmp_path / "broken.ndjson.gz"
    output.write_text("from before")
    broken.write_bytes(gzip.compress(history.read_bytes() * 50)[:-30])
    result = run(broken, *as_of(JUNE), "-o", output)
    assert (result.exit_code, output.read_text()) == (1, "from before")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.ndjson.gz", "history.ndjson", "out.csv"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing option"),
        (("--as-of", "soon"), "'soon' is no time"),
        (("--as-of", "2200-01-01"), "outside the years"),
        (("--as-of", JUNE, "-o", "out.xlsx"), "ends in none of"),
        (("--as-of", JUNE, "--rulebook", "nowhere.yaml"), "neither a file nor one of"),
        (("--as-of", JUNE, "--mapping", "nowhere.yaml"), "neither a file nor a ready mapping"),
    ],
)
def test_wrong_use_is_told(history: Path, arguments: tuple[str, ...], says: str) -> None:
    result = run(history, *arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.replace("│", " ").split())


def test_a_wrong_rulebook_is_refused_whole(history: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(default_text().replace("weight: 0.35", "weight: 0.45").replace("{A: 65,", "{A: 15,"))
    result = run(history, *as_of(JUNE), "--rulebook", wrong)
    assert isinstance(result.exception, RulebookError)  # which the command line tells, and exits with 1
    assert len(result.exception.errors) == 2


def test_the_mapping_of_an_import_serves_here_too(tmp_path: Path) -> None:
    file = tmp_path / "orders.txt"
    lines = [" customer_id  date  cds  dollars", " 00004 19970101  2   29.33", " 00004 19970101  2   29.33"]
    file.write_text("\n".join(lines))
    (row,) = classified(file, "--mapping", "cdnow", *as_of("1997-01-01"))
    assert row["orders"]["amount"] == "58.66"  # equal lines are two orders
