"""Threads that fill sources without the GIL, and one order for what they hand up.

Invariant: events come out in order of (packet time, ordinal), whatever the number of workers;
events of the same packet or time-out, which have no order of their own across flows, are sorted by
flow uid. So a replay gives the same records with any number of workers.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from sensor import _core
from sensor.flows import Flow

# Batches a worker may be ahead of the consumer: enough to hide its pauses, bounded in memory.
QUEUE_BATCHES = 4

# How long a fill waits on a quiet interface: the delay of a time-out, and of stopping.
FILL_TIMEOUT_MS = 100

RawEvent = tuple[int, int, int, int, int, Any]
Key = tuple[int, int]


class InputError(Exception):
    """An input could not be read to its end; everything before that was handed up. One line."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the core with its flow; value as sensor/_core.pyi says for the kind."""

    kind: int
    flow: Flow
    direction: int
    time_ns: int
    value: Any


@dataclass(frozen=True, slots=True)
class Watermark:
    """Every event up to this packet time has been yielded."""

    time_ns: int


@dataclass(slots=True)
class _Worker:
    source: _core.Source
    batches: "queue.Queue[_core.Batch | BaseException]" = field(
        default_factory=lambda: queue.Queue(QUEUE_BATCHES)
    )
    events: list[RawEvent] = field(default_factory=list)  # not yet yielded
    flows: dict[int, Flow] = field(default_factory=dict)
    watermark: Key = (0, 0)
    ended: bool = False
    error: str | None = None


class Workers:
    """Fills each source in a thread of its own; iterate for events and watermarks."""

    def __init__(self, sources: list[_core.Source]) -> None:
        self.sources = sources
        self._workers = [_Worker(source) for source in sources]
        self._abandoned = threading.Event()
        self.reached_ns = 0  # packet time up to which events are yielded

    def stop(self) -> None:
        """Flush what is in flight and end; safe from a signal handler."""
        for source in self.sources:
            source.stop()

    def __iter__(self) -> Iterator[Event | Watermark]:
        """Raises InputError, after the last event, when an input ended in an error."""
        threads = [
            threading.Thread(target=self._fill, args=(worker,), name=f"worker-{index}", daemon=True)
            for index, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._merged()
        finally:
            self._abandoned.set()
            self.stop()
            for thread in threads:
                thread.join()
        errors = [worker.error for worker in self._workers if worker.error]
        if errors:
            raise InputError(errors[0])

    def _fill(self, worker: _Worker) -> None:
        try:
            while not self._abandoned.is_set():
                batch = worker.source.fill(FILL_TIMEOUT_MS)
                self._hand_over(worker, batch)
                if batch.end:
                    return
        except BaseException as error:  # raised again in the consumer's thread
            self._hand_over(worker, error)

    def _hand_over(self, worker: _Worker, item: "_core.Batch | BaseException") -> None:
        while not self._abandoned.is_set():
            try:
                worker.batches.put(item, timeout=FILL_TIMEOUT_MS / 1000)
                return
            except queue.Full:
                continue

    def _merged(self) -> Iterator[Event | Watermark]:
        running = list(self._workers)
        while running:
            slowest = min(running, key=lambda worker: worker.watermark)
            self._take(slowest)
            running = [worker for worker in running if not worker.ended]
            reached = min((worker.watermark for worker in running), default=None)
            self.reached_ns = reached[0] if reached else self.reached_ns
            yield from self._ordered(reached)
            if reached:
                yield Watermark(reached[0])

    @staticmethod
    def _take(worker: _Worker) -> None:
        item = worker.batches.get()
        if isinstance(item, BaseException):
            raise item
        worker.events.extend(item)
        worker.watermark = (item.watermark_ns, item.watermark_ordinal)
        worker.ended = item.end
        worker.error = item.error

    def _ordered(self, reached: Key | None) -> Iterator[Event]:
        """Every event held up to `reached`; all of them when it is None."""
        ready: list[tuple[int, int, str, Event]] = []
        for worker in self._workers:
            ready.extend(_resolve(worker, reached))
        # Stable: events of one flow keep the order the core gave them.
        ready.sort(key=itemgetter(0, 1, 2))
        for item in ready:
            yield item[3]


def _resolve(worker: _Worker, reached: Key | None) -> Iterator[tuple[int, int, str, Event]]:
    """(time, ordinal, uid, event) of the worker's events up to `reached`, which it then forgets."""
    count = 0
    for kind, number, direction, time_ns, ordinal, value in worker.events:
        if reached is not None and (time_ns, ordinal) > reached:
            break
        count += 1
        if kind == _core.FLOW:
            worker.flows[number] = flow = Flow(*value)
            if flow.tapped:  # of packets, TLS is told before anything inside it
                yield time_ns, ordinal, flow.uid, Event(kind, flow, direction, time_ns, value)
            continue
        is_last = kind == _core.FLOW_END
        flow = worker.flows.pop(number) if is_last else worker.flows[number]
        yield time_ns, ordinal, flow.uid, Event(kind, flow, direction, time_ns, value)
    del worker.events[:count]
