"""What `tierwise top` makes of two looks at the metrics."""

from collections.abc import Mapping, Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.console import Console

from tierwise.top.frame import frame
from tierwise.top.look import Between, Look, Told
from tierwise.top.words import WORDS, Language

INGEST = """
# TYPE tierwise_ingest_interactions_accepted_total counter
tierwise_ingest_interactions_accepted_total{source="shop"} %(accepted)s
# TYPE tierwise_ingest_interactions_rejected_total counter
tierwise_ingest_interactions_rejected_total{source="shop",code="missing_identifier"} %(rejected)s
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 120000000
"""
SCORING = """
# TYPE tierwise_scoring_freshness_seconds histogram
tierwise_scoring_freshness_seconds_bucket{le="0.05"} %(fresh)s
tierwise_scoring_freshness_seconds_bucket{le="0.1"} %(all)s
tierwise_scoring_freshness_seconds_bucket{le="+Inf"} %(all)s
# TYPE tierwise_scoring_lag_records gauge
tierwise_scoring_lag_records{partition="0"} 0
tierwise_scoring_lag_records{partition="3"} 4200
# TYPE tierwise_scoring_lag_seconds gauge
tierwise_scoring_lag_seconds{partition="0"} 0
tierwise_scoring_lag_seconds{partition="3"} 12.34
# TYPE tierwise_relay_backlog_rows gauge
tierwise_relay_backlog_rows{outbox="changes"} 70
tierwise_relay_backlog_rows{outbox="dead_letters"} 7
"""


def told(service: str, url: str, text: str | None) -> Told:
    if text is None:
        return Told(service, url, None)
    samples: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return Told(service, url, samples)


def looked(at_s: float, values: Mapping[str, float], *, workers: int = 1) -> Look:
    scoring: Sequence[Told] = [told("scoring", f"http://s{number}", SCORING % values) for number in range(workers)]
    return Look([told("ingest", "http://i", INGEST % values), *scoring, told("profile-api", "http://p", None)], at_s)


BEFORE: Mapping[str, float] = {"accepted": 1_000, "rejected": 5, "fresh": 10, "all": 10}


def shown(between: Between, language: Language = "en") -> str:
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(frame(between, language=language, clock="12:00:00"))
    return captured.get()


def test_a_frame_shows_rates_freshness_lag_and_errors_between_two_looks() -> None:
    now = {"accepted": 3_000, "rejected": 9, "fresh": 60, "all": 61}
    text = shown(Between(looked(100.0, BEFORE), looked(102.0, now)))
    lines = [" ".join(line.strip("│╭╮╰╯─ ").split()) for line in text.splitlines()]
    assert "profile-api p not reached" in lines
    assert "accepted/s 1,000 behind 4,200 records, 12.3 s" in lines
    assert "rejected/s 2 worst partition 3: 4,200" in lines
    assert "freshness p50 / p99 50 ms / 100 ms dead letters open 0" in lines
    assert "rejected shop missing_identifier 2.0" in lines
    assert any(line.endswith("live connections -") for line in lines)


def test_backlogs_that_every_worker_tells_are_not_added_up() -> None:
    looks = Between(looked(1.0, BEFORE, workers=2), looked(2.0, BEFORE, workers=2))
    assert "77 records" in shown(looks)
    assert "freshness p50 / p99   - / -" in shown(looks)


def test_counters_of_a_process_that_began_anew_are_no_negative_rate() -> None:
    anew = {"accepted": 10, "rejected": 0, "fresh": 0, "all": 0}
    assert Between(looked(1.0, BEFORE), looked(2.0, anew)).rate("tierwise_ingest_interactions_accepted_total") == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_speaks_both_languages(language: Language) -> None:
    text = shown(Between(looked(1.0, BEFORE), looked(2.0, BEFORE)), language)
    assert WORDS[language]["unreachable"] in text
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    assert all(WORDS[language].values())
