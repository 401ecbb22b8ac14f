"""One frame of `tierwise top`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.samples import Sample
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tierwise.top.look import Between, Look, Told
from tierwise.top.words import WORDS, Language

_FAILED: Final = frozenset({"500", "501", "502", "503", "504"})
_ERRORS_MAX: Final = 12
_HTTP: Final = {"ingest": "tierwise_ingest_http", "profile-api": "tierwise_profile_api_http"}
_TELLS: Final = {"accepted": "ingest", "rejected": "ingest", "live": "profile-api"}
_UNDELIVERED: Final = frozenset({"to_be_repeated", "given_up", "gone"})


def frame(between: Between, *, language: Language, clock: str) -> RenderableType:
    """`clock`: the time that it shows."""
    words = WORDS[language]
    title = Text.assemble(("Tierwise", "bold"), f"  {clock}  ", (words["ends"], "dim"))
    return Group(title, _services(between, words), _figures(between, words), _errors(between, words))


def _services(between: Between, words: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("service", "at", "state"):
        table.add_column(words[name], no_wrap=True)
    for name in ("requests", "slow", "cpu", "memory", "connections"):
        table.add_column(words[name], justify="right")
    for told in between.now.told:
        at = told.url.removeprefix("http://")
        if told.samples is None:
            table.add_row(told.service, at, Text(words["unreachable"], "bold red"))
        else:
            table.add_row(told.service, at, Text(words["serving"], "green"), *_process(between, told, words))
    return table


def _process(between: Between, told: Told, words: Mapping[str, str]) -> Iterator[str]:
    if (http := _HTTP.get(told.service)) is None:
        yield from (words["nothing"],) * 2
    else:
        yield f"{between.rate(f'{http}_requests_total'):,.0f}"
        yield _seconds(between.quantile(f"{http}_request_seconds", 0.99), words)
    before = next((one.samples for one in between.before.told if one.url == told.url), None)
    cpu = _value(told.samples, "process_cpu_seconds_total") - _value(before, "process_cpu_seconds_total")
    yield words["nothing"] if before is None else f"{max(0.0, cpu) / between.seconds:.0%}"
    yield f"{_value(told.samples, 'process_resident_memory_bytes') / 1e6:,.0f} MB"
    used = [one.value for one in (told.samples or {}).get("tierwise_database_connections", ())]
    yield f"{used[0]:.0f}/{_value(told.samples, 'tierwise_database_connections_max'):.0f}" if used else words["nothing"]


def _figures(between: Between, words: Mapping[str, str]) -> Panel:
    reached = {told.service for told in between.now.told if told.samples is not None}
    figures = _throughput(between, words) | _waiting(between, words)
    shown = [
        (Text(words[name], "dim"), Text(figure if _TELLS.get(name, "scoring") in reached else words["nothing"], "bold"))
        for name, figure in figures.items()
    ]
    table = Table.grid(padding=(0, 3, 0, 0))
    for left, right in zip(shown[: len(shown) // 2], shown[len(shown) // 2 :], strict=True):
        table.add_row(*left, *right)
    return Panel(table, border_style="dim")


def _throughput(between: Between, words: Mapping[str, str]) -> dict[str, str]:
    batches = between.rate("tierwise_scoring_batch_records_count")
    batch = between.rate("tierwise_scoring_batch_records_sum") / batches if batches else None
    fresh = [between.quantile("tierwise_scoring_freshness_seconds", share) for share in (0.5, 0.99)]
    return {
        "accepted": f"{between.rate('tierwise_ingest_interactions_accepted_total'):,.0f}",
        "rejected": f"{between.rate('tierwise_ingest_interactions_rejected_total'):,.0f}",
        "scored": f"{between.rate('tierwise_scoring_interactions_total'):,.0f}",
        "changes": f"{between.rate('tierwise_scoring_changes_total'):,.0f}",
        "published": f"{between.rate('tierwise_relay_records_total'):,.0f}",
        "batch": words["nothing"] if batch is None else f"{batch:,.0f}",
        "fresh": " / ".join(_seconds(one, words) for one in fresh),
    }


def _waiting(between: Between, words: Mapping[str, str]) -> dict[str, str]:
    now = between.now
    lag = now.by("tierwise_scoring_lag_records", "partition")
    behind = now.by("tierwise_scoring_lag_seconds", "partition")
    worst = max(behind, key=lambda partition: (behind[partition], lag.get(partition, 0.0)), default=None)
    longest = _seconds(max(behind.values(), default=0.0), words)
    unpublished = sum(_largest_by_outbox(now, "tierwise_relay_backlog_rows"))
    oldest = _seconds(now.largest("tierwise_relay_backlog_seconds"), words)
    return {
        "lag": words["records"].format(count=f"{sum(lag.values()):,.0f}", seconds=longest),
        "worst": words["nothing"] if worst is None or not lag.get(worst) else f"{worst[0]}: {lag[worst]:,.0f}",
        "unpublished": words["records"].format(count=f"{unpublished:,.0f}", seconds=oldest),
        "reviews": f"{now.largest('tierwise_sweeper_backlog_customers'):,.0f}",
        "webhooks": f"{sum(now.by('tierwise_webhook_backlog').values()):,.0f}",
        "live": f"{sum(now.by('tierwise_live_connections').values()):,.0f}",
        "open": f"{now.largest('tierwise_dead_letters_open'):,.0f}",
    }


def _errors(between: Between, words: Mapping[str, str]) -> Panel:
    found = sorted(_found_errors(between), key=lambda one: -one[2])
    table = Table.grid(padding=(0, 3, 0, 0))
    for kind, what, rate in found[:_ERRORS_MAX]:
        table.add_row(Text(words[f"error.{kind}"], "red"), what, f"{rate:,.1f}")
    title = f"{words['errors']} ({words['rate']})"
    return Panel(table if found else Text(words["none"], "green"), title=title, title_align="left", border_style="dim")


def _found_errors(between: Between) -> Iterator[tuple[str, str, float]]:
    """(kind, what, how many a second)."""
    for key, rate in between.rates("tierwise_ingest_interactions_rejected_total", "source", "code").items():
        yield "rejected", " ".join(key), rate
    for key, rate in between.rates("tierwise_ingest_append_failures_total", "reason").items():
        yield "stream", " ".join(key), rate
    for http in _HTTP.values():
        for key, rate in between.rates(f"{http}_requests_total", "status", "method", "route").items():
            if key[0] in _FAILED:
                yield "failed", " ".join(key), rate
    for key, rate in between.rates("tierwise_scoring_dead_letters_total", "reason").items():
        yield "dead", " ".join(key), rate
    for key, rate in between.rates("tierwise_scoring_conflicting_repeats_total", "source").items():
        yield "conflict", " ".join(key), rate
    for key, rate in between.rates("tierwise_webhook_attempts_total", "outcome").items():
        if key[0] in _UNDELIVERED:
            yield "webhook", " ".join(key), rate


def _largest_by_outbox(now: Look, name: str) -> Iterator[float]:
    """Every worker tells the same of an outbox."""
    for outbox in {sample.labels["outbox"] for sample in now.samples(name)}:
        yield max(sample.value for sample in now.samples(name) if sample.labels["outbox"] == outbox)


def _value(samples: Mapping[str, Sequence[Sample]] | None, name: str) -> float:
    found = (samples or {}).get(name)
    return found[0].value if found else 0.0


def _seconds(seconds: float | None, words: Mapping[str, str]) -> str:
    if seconds is None:
        return words["nothing"]
    if seconds == float("inf"):
        return "> 10 s"
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"
