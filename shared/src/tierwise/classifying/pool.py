"""Classifying groups of customers on all cores, their results in the order of the groups.

Where tiers are shares of the customers, and no cuts are given, everyone is classified twice: for the scores that the
cuts are taken from, and by these cuts.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tierwise.classifying.gather import Gathering, Group
from tierwise.classifying.views import View, tier_scores, views
from tierwise.domain.cuts import Tally, taken_at
from tierwise.domain.rulebook import Rulebook, load
from tierwise.security.personal import Vault

CUSTOMERS_AT_ONCE: Final = 5_000
EXPLAINED_AT_ONCE: Final = 500  # an explanation holds some 100 kB
CUSTOMERS_WORTH_A_POOL: Final = 20_000  # a process takes 1.5 s to start, in which one classifies about 10,000
EXPLAINED_WORTH_A_POOL: Final = 2_000  # explaining takes a millisecond each

Render = Callable[[list[View]], Any]


class Cuts(NamedTuple):
    """`scores`: hundredths, by tier from the highest down; `number`: None for those taken from the file."""

    scores: tuple[int, ...]
    number: int | None


@dataclass(frozen=True, slots=True)
class Task:
    """What a process needs to know, all of it to be sent there. `cuts`: those given, if any; `keys`: the data keys of
    the vault."""

    rulebook: str
    cuts: Cuts | None
    keys: dict[str, bytes]
    render: Render
    why: bool


def rendered(gathering: Gathering, task: Task, *, customers: int) -> Iterator[tuple[int, Any]]:
    """(how many, what the task's `render` makes of them) for each group at each time. `customers`: of all groups."""
    at_once = EXPLAINED_AT_ONCE if task.why else CUSTOMERS_AT_ONCE
    with _workers(task, customers) as run:
        for period, time in enumerate(gathering.times):
            cuts = task.cuts or _taken(gathering, period, run)
            yield from run(_Worker.render, ((group, time, cuts) for group in gathering.groups(period, at_once)))


def _taken(gathering: Gathering, period: int, run: "Run") -> Cuts | None:
    """Of everyone in the file at the end of a period."""
    rulebook, time = gathering.rulebook, gathering.times[period]
    if rulebook.shares is None:
        return None
    tally = Tally()
    for scores in run(_Worker.scores, ((group, time) for group in gathering.groups(period, CUSTOMERS_AT_ONCE))):
        tally.add(scores)
    return Cuts(taken_at(rulebook.days.day_of(time), tally, rulebook).scores, None)


class _Worker:
    of_this_process: ClassVar["_Worker"]

    def __init__(self, task: Task) -> None:
        self._cut: dict[Cuts | None, Rulebook] = {None: load(task.rulebook)}
        self._vault = Vault(task.keys)
        self._render = task.render
        self._why = task.why

    def render(self, group: Group, time: datetime, cuts: Cuts | None) -> tuple[int, Any]:
        if cuts is not None and cuts not in self._cut:
            self._cut[cuts] = self._cut[None].cut_at(*cuts)
        found = views(group, time, self._cut[cuts], self._vault, why=self._why)
        return len(found), self._render(found)

    def scores(self, group: Group, time: datetime) -> npt.NDArray[np.int16]:
        return tier_scores(group, time, self._cut[None])


Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterator[Any]]
"""A method of _Worker, and the arguments of each call -> what each call returns, in their order."""


@contextmanager
def _workers(task: Task, customers: int) -> Iterator[Run]:
    """In this process where there are few customers, else in as many as there are cores."""
    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    worth_a_pool = EXPLAINED_WORTH_A_POOL if task.why else CUSTOMERS_WORTH_A_POOL
    if customers < worth_a_pool or processes == 1:
        worker = _Worker(task)
        yield lambda method, calls: (method(worker, *arguments) for arguments in calls)
        return
    with _pool(task, processes) as pool:

        def run(method: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
            waiting: deque[Future[Any]] = deque()
            for arguments in calls:
                waiting.append(pool.submit(_work, method, arguments))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        yield run


@contextmanager
def _pool(task: Task, processes: int) -> Iterator[ProcessPoolExecutor]:
    """Started afresh, not forked: this process has threads. What waits is dropped when the work breaks off."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_start, initargs=(task,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(task: Task) -> None:
    _Worker.of_this_process = _Worker(task)


def _work(method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return method(_Worker.of_this_process, *arguments)
