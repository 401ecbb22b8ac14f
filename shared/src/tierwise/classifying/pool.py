"""Classifying groups of customers on all cores, their results in the order of the groups."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from typing import Any, ClassVar, Final

from tierwise.classifying.gather import Gathering, Group
from tierwise.classifying.views import View, views
from tierwise.domain.rulebook import Rulebook, load
from tierwise.security.personal import Vault

CUSTOMERS_WORTH_A_POOL: Final = 20_000  # a process takes 1.5 s to start, in which one classifies about 10,000

Render = Callable[[list[View]], Any]


@dataclass(frozen=True, slots=True)
class Task:
    """What a process needs to know, all of it to be sent there. `keys`: the data keys of the vault."""

    rulebook: str
    keys: dict[str, bytes]
    render: Render


def rendered(gathering: Gathering, task: Task, *, customers: int) -> Iterator[tuple[int, Any]]:
    """(how many, what the task's `render` makes of them) for each group at each time. `customers`: of all groups."""
    groups = ((group, time) for period, time in enumerate(gathering.times) for group in gathering.groups(period))
    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if customers < CUSTOMERS_WORTH_A_POOL or processes == 1:
        worker = _Worker(task)
        for group, time in groups:
            yield worker(group, time)
        return
    waiting: deque[Future[tuple[int, Any]]] = deque()
    with _pool(task, processes) as pool:
        for group, time in groups:
            waiting.append(pool.submit(_work, group, time))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Worker:
    of_this_process: ClassVar["_Worker"]

    def __init__(self, task: Task) -> None:
        self._rulebook: Rulebook = load(task.rulebook)
        self._vault = Vault(task.keys)
        self._render = task.render

    def __call__(self, group: Group, time: datetime) -> tuple[int, Any]:
        found = views(group, time, self._rulebook, self._vault)
        return len(found), self._render(found)


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


def _work(group: Group, time: datetime) -> tuple[int, Any]:
    return _Worker.of_this_process(group, time)
