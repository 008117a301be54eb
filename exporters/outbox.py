"""A bounded queue and a thread between the capture and one sink: capture never waits for export.

Invariant: a record that was accepted is written, or counted as lost and named in an error line.
A live sensor sheds (and counts) what does not fit; a replay waits for room instead.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from itertools import islice
from typing import Protocol

from sensor.metrics import ExportCounts
from sensor.records import Record

BATCH_RECORDS = 512
LINGER_S = 0.05  # how long a record waits for others to be written with
RETRY_FIRST_S = 0.5
RETRY_LONGEST_S = 30.0


class SinkError(Exception):
    """A sink could not take a batch; `written` of it are safe. A `final` error will not pass."""

    def __init__(self, line: str, *, written: int = 0, final: bool = False) -> None:
        super().__init__(line)
        self.written = written
        self.final = final


class ReaderGone(SinkError):
    """The reader of a pipe closed it: nobody wants the rest."""

    def __init__(self, line: str) -> None:
        super().__init__(line, final=True)


class Sink(Protocol):
    """Where records end. All methods are called by one thread; each may raise SinkError."""

    name: str

    def write(self, records: Sequence[Record]) -> None: ...
    def tick(self) -> None:
        """Called at least every `tick_s`: the time to flush or to rotate."""

    def reopen(self) -> None:
        """Go on in a new file: somebody moved the present one away."""

    def close(self) -> None: ...


class WhenFull(Enum):
    SHED = "shed"
    WAIT = "wait"


class Outbox:
    """One sink's queue. `offer` and `reopen` may be called from any thread."""

    def __init__(
        self,
        sink: Sink,
        counts: ExportCounts,
        *,
        records_max: int,
        when_full: WhenFull,
        report: Callable[[str], None],
        tick_s: float = 1.0,
        retry_first_s: float = RETRY_FIRST_S,
        counts_written: bool = True,
    ) -> None:
        """`counts_written`: not where the sink itself counts what a receiver took later."""
        self.sink = sink
        self.problem = ""  # why the last write failed; "" once one passes
        self.failed: SinkError | None = None  # set for good: records were lost, or will be
        self._counts = counts
        self._counts_written = counts_written
        self._records_max = records_max
        self._when_full = when_full
        self._report = report
        self._tick_s = tick_s
        self._retry_first_s = retry_first_s
        self._queue: deque[Record] = deque()
        self._held = 0  # queued and in the batch being written
        self._reopen = False
        self._stop_by: float | None = None  # monotonic time until which a failing sink is tried
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"outbox-{sink.name}", daemon=True)
        counts.start(sink.name, records_max, lambda: self._held)

    def start(self) -> None:
        self._thread.start()

    def offer(self, records: Sequence[Record]) -> None:
        """Queue records. SHED: counts what does not fit. WAIT: waits; raises why it is in vain."""
        with self._changed:
            if self._when_full is WhenFull.WAIT:
                self._offer_waiting(records)
                return
            room = 0 if self.failed else max(0, self._records_max - self._held)
            self._accept(records[:room])
            if len(records) > room:
                self._counts.records.add(self.sink.name, "shed", by=len(records) - room)

    def reopen(self) -> None:
        with self._changed:
            self._reopen = True
            self._changed.notify_all()

    def begin_stop(self, drain_s: float) -> None:
        """Take no more; what is queued is written, a sink that fails is tried for `drain_s`.

        Told again, it does not begin anew: the earliest end counts.
        """
        with self._changed:
            stop_by = time.monotonic() + drain_s
            self._stop_by = stop_by if self._stop_by is None else min(self._stop_by, stop_by)
            self._changed.notify_all()

    def stop(self, drain_s: float) -> None:
        """Write what is queued, close the sink; a sink that fails is tried for `drain_s`."""
        self.begin_stop(drain_s)
        self._thread.join()

    def _offer_waiting(self, records: Sequence[Record]) -> None:
        at = 0
        while at < len(records):
            if self.failed:
                raise self.failed
            room = self._records_max - self._held
            if room > 0:
                self._accept(records[at : at + room])
                at += room
            else:
                self._changed.wait()

    def _accept(self, records: Sequence[Record]) -> None:
        was_empty = not self._queue
        self._queue.extend(records)
        self._held += len(records)
        if was_empty or self._is_batch():
            self._changed.notify_all()

    def _run(self) -> None:
        tick_at = time.monotonic() + self._tick_s
        while True:
            batch, reopen, stopping = self._take()
            if reopen:
                self._attempt(self.sink.reopen)
            if batch:
                self._deliver(batch)
            elif stopping:
                break
            if time.monotonic() >= tick_at:
                tick_at = time.monotonic() + self._tick_s
                self._attempt(self.sink.tick)
        self.failed = self.failed or self._attempt(self.sink.close)

    def _take(self) -> tuple[list[Record], bool, bool]:
        """The next batch, whether to reopen first, and whether to stop when the batch is empty."""
        with self._changed:
            if not (self._queue or self._is_called()):
                self._changed.wait(self._tick_s)
            if self._queue:
                # Waking for every record would cost the capture's thread more than the record.
                self._changed.wait_for(lambda: self._is_batch() or self._is_called(), LINGER_S)
            batch = list(islice(self._queue, BATCH_RECORDS))
            for _ in batch:
                self._queue.popleft()
            reopen, self._reopen = self._reopen, False
            return batch, reopen, self._stop_by is not None

    def _is_batch(self) -> bool:
        return len(self._queue) >= min(BATCH_RECORDS, self._records_max)

    def _is_called(self) -> bool:
        return self._reopen or self._stop_by is not None

    def _deliver(self, batch: list[Record]) -> None:
        """Write a batch whole, however often it takes; give up only when told to stop."""
        delay_s = self._retry_first_s
        while batch:
            error = self._attempt(partial(self.sink.write, batch))
            written = len(batch) if error is None else error.written
            batch = batch[written:]
            self._settle("written", written)
            if error is None:
                return
            if self._gives_up(error):
                self._lose(len(batch))
                return
            delay_s = self._pause(delay_s)

    def _pause(self, delay_s: float) -> float:
        """Before a failing sink is tried again; how long the next pause is to be."""
        with self._changed:
            self._changed.wait_for(self._is_called, delay_s)
            reopen, self._reopen = self._reopen, False
            stopping = self._stop_by is not None
        if stopping:
            time.sleep(min(0.05, delay_s))  # try often, but do not spin
        if reopen:  # moving the file away may be how the disk got room
            self._attempt(self.sink.reopen)
            return self._retry_first_s
        return min(delay_s * 2, RETRY_LONGEST_S)

    def _gives_up(self, error: SinkError) -> bool:
        too_late = self._stop_by is not None and time.monotonic() >= self._stop_by
        if error.final or too_late or self._when_full is WhenFull.WAIT:
            self.failed = self.failed or error
        return self.failed is not None

    def _lose(self, count: int) -> None:
        """Nothing more can be written: what is held is lost, counted and said."""
        with self._changed:
            count += len(self._queue)
            self._queue.clear()
        self._settle("lost", count)
        if count and not isinstance(self.failed, ReaderGone):
            self._report(f"{self.sink.name}: {count} records lost: {self.failed}")

    def _settle(self, result: str, count: int) -> None:
        if result != "written" or self._counts_written:
            self._counts.records.add(self.sink.name, result, by=count)
        with self._changed:
            self._held -= count
            self._changed.notify_all()

    def _attempt(self, act: Callable[[], None]) -> SinkError | None:
        """Call the sink. Its error is counted, kept as the problem, said once until it passes."""
        try:
            act()
        except SinkError as error:
            failure = error
        except Exception as error:  # a defect of the sink must not end the other outputs
            failure = SinkError(f"defect: {type(error).__name__}: {error}", final=True)
        else:
            self.problem = ""
            return None
        self._counts.errors.add(self.sink.name)
        if not self.problem and not isinstance(failure, ReaderGone):
            self._report(f"{self.sink.name}: {failure}")
        self.problem = str(failure)
        return failure
