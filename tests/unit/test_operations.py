"""What operators are given fits the code: the table of metrics, the dashboard, the alerts."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import generate_latest
from typer.core import TyperGroup

from tests.support.metrics import Described, described, documented, registries
from tests.support.missing import missing
from tierwise.cli import build

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "tierwise.json"
ALERTS = GRAFANA / "alerts.yaml"
OF_PROMETHEUS = {"job", "instance", "le"}

KNOWN = {one.name: one for registry in registries().values() for one in described(registry)}
SERIES: dict[str, Described] = {name: one for one in KNOWN.values() for name in one.series}


def queries_of_dashboard() -> list[tuple[str, str]]:
    """(query, legend)."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [(each["expr"], each["legendFormat"]) for panel in panels for each in panel.get("targets", ())]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def names_in(query: str) -> set[str]:
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without)\s*\([^)]*\)", "", query)
    return {name for name in re.findall(r"[a-zA-Z_]\w*", bare) if "_" in name} - {"histogram_quantile"}


def check_query(query: str, legend: str = "") -> None:
    names = names_in(query)
    assert names <= SERIES.keys(), f"no such metrics: {names - SERIES.keys()}"
    labels = {label for name in names for label in SERIES[name].labels} | OF_PROMETHEUS
    for name, selected in re.findall(r"(\w+)\{([^}]*)\}", query):
        own = set(SERIES[name].labels) if name in SERIES else set()
        assert set(re.findall(r"(\w+)\s*=?[=!~]", selected)) <= own | OF_PROMETHEUS, query
    grouped = {label for some in re.findall(r"\bby\s*\(([^)]*)\)", query) for label in re.findall(r"\w+", some)}
    assert grouped <= labels, query
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= grouped, (query, legend)


def promtool(*arguments: str, given: bytes | None = None) -> None:
    program = shutil.which("promtool")
    if program is None:
        missing("promtool is not here: it comes with Prometheus (on Debian the package `prometheus`)")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_the_page_lists_every_metric_with_its_type_labels_and_meaning() -> None:
    told = "`python -m tests.support.metrics` prints the tables of docs/operations.md"
    assert sorted(documented()) == sorted(KNOWN.values()), told


def test_names_follow_prometheus_conventions() -> None:
    for one in KNOWN.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", one.name)
        assert (one.type == "counter") == one.name.endswith("_total"), one.name
        assert not re.search(r"_(ms|minutes|hours|kb|mb)(_|$)", one.name), f"{one.name}: seconds and bytes"
        if one.type == "histogram":
            assert one.name.endswith(("_seconds", "_bytes", "_records")), one.name


def test_no_label_is_about_a_person_or_chosen_by_who_sends() -> None:
    labels = {label for one in KNOWN.values() for label in one.labels}
    assert labels == {
        *("source", "code", "reason", "route", "method", "status", "partition", "stage", "topic", "outbox"),
        *("outcome", "subscription", "state", "service", "version"),
    }


def test_the_dashboard_asks_only_for_metrics_and_labels_that_there_are() -> None:
    queries = queries_of_dashboard()
    assert len(queries) > 30
    for query, legend in queries:
        check_query(query, legend)


def test_the_dashboard_shows_every_metric_of_ours() -> None:
    shown = {name for query, _ in queries_of_dashboard() for name in names_in(query)}
    hidden = {one.name for one in KNOWN.values() if not one.series & shown and one.name.startswith("tierwise_")}
    assert hidden == {"tierwise_build_info"}, "give them a panel, or a line in one"


def test_panels_lie_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]]
    taken = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    query = rule["expr"]
    if rule["alert"] != "TierwiseServiceDown":  # `up` is Prometheus' own
        check_query(query)
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert len(rule["annotations"]["summary"]) > 20
    assert len(rule["annotations"]["description"]) > 60
    commands = re.findall(r"`tierwise ([a-z-]+)", rule["annotations"]["description"])
    assert set(commands) <= {"scoring", "dead-letters", "remap", "webhook"}
    told = " ".join(rule["annotations"].values())
    grouped = {label for some in re.findall(r"\bby\s*\(([^)]*)\)", query) for label in re.findall(r"\w+", some)}
    assert set(re.findall(r"\$labels\.(\w+)", told)) <= grouped | OF_PROMETHEUS


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", str(ALERTS))
    promtool("check", "config", str(GRAFANA / "prometheus.yaml"))


@pytest.mark.parametrize("service", registries())
def test_prometheus_finds_nothing_to_say_about_the_metrics(service: str) -> None:
    promtool("check", "metrics", given=generate_latest(registries()[service]))


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    def alert(name: str, summary: str, **labels: str) -> dict[str, Any]:
        rule = next(rule for rule in rules() if rule["alert"] == name)
        annotations = {"summary": summary, "description": rule["annotations"]["description"]}
        return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations}

    behind = "Interactions wait for more than a minute to be scored"
    dead = "Records could not be used: undecodable"
    rejected = "More than a tenth of what shop sends is rejected"
    scenario = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [
                    {"series": 'tierwise_scoring_lag_seconds{partition="0"}', "values": "0x200"},
                    {"series": 'tierwise_scoring_lag_seconds{partition="1"}', "values": "0+15x200"},
                    {"series": 'tierwise_scoring_lag_records{partition="1"}', "values": "9x200"},
                    {"series": 'tierwise_scoring_dead_letters_total{reason="undecodable"}', "values": "0x40 2x160"},
                    {
                        "series": 'tierwise_ingest_interactions_rejected_total{source="shop",code="x"}',
                        "values": "0+3x200",
                    },
                    {"series": 'tierwise_ingest_interactions_accepted_total{source="shop"}', "values": "0+9x200"},
                    {"series": 'tierwise_ingest_interactions_accepted_total{source="other"}', "values": "0+9x200"},
                ],
                "alert_rule_test": [
                    {"eval_time": "2m", "alertname": "TierwiseScoringBehind", "exp_alerts": []},
                    {
                        "eval_time": "5m",
                        "alertname": "TierwiseScoringBehind",
                        "exp_alerts": [alert("TierwiseScoringBehind", behind)],
                    },
                    {"eval_time": "9m", "alertname": "TierwiseDeadLetters", "exp_alerts": []},
                    {
                        "eval_time": "12m",
                        "alertname": "TierwiseDeadLetters",
                        "exp_alerts": [alert("TierwiseDeadLetters", dead, reason="undecodable")],
                    },
                    {
                        "eval_time": "40m",
                        "alertname": "TierwiseManyRejected",
                        "exp_alerts": [alert("TierwiseManyRejected", rejected, source="shop")],
                    },
                    {"eval_time": "40m", "alertname": "TierwiseNothingScores", "exp_alerts": []},
                ],
            },
            {
                "interval": "15s",
                "input_series": [],
                "alert_rule_test": [
                    {
                        "eval_time": "6m",
                        "alertname": "TierwiseNothingScores",
                        "exp_alerts": [alert("TierwiseNothingScores", "No worker reads the stream")],
                    }
                ],
            },
        ],
    }
    file = tmp_path / "alerts_test.yaml"
    file.write_text(yaml.safe_dump(scenario))
    promtool("test", "rules", str(file))


def test_the_page_names_only_commands_that_there_are() -> None:
    shown = re.findall(r"^(?:    |\.venv/bin/|[A-Z_]+=\S+ )+tierwise ([a-z-]+)", PAGE.read_text("utf-8"), re.MULTILINE)
    command_line = typer.main.get_command(build())
    assert isinstance(command_line, TyperGroup)
    assert "top" in shown
    assert set(shown) <= command_line.commands.keys()


def test_grafana_finds_the_dashboard_and_prometheus() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "tierwise.yaml").read_text("utf-8"))
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text("utf-8"))
    assert provider["providers"][0]["options"]["path"] == "/etc/grafana/dashboards"
    assert source["datasources"][0]["type"] == "prometheus"
    jobs = {
        job["job_name"] for job in yaml.safe_load((GRAFANA / "prometheus.yaml").read_text("utf-8"))["scrape_configs"]
    }
    assert jobs == {"tierwise-ingest", "tierwise-profile-api", "tierwise-scoring"}
