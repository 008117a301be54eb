"""The outbox: live capture never waits, a replay loses nothing, and everything is counted."""

import threading
import time
from collections.abc import Sequence

import pytest

from exporters.outbox import Outbox, ReaderGone, SinkError, WhenFull
from sensor.metrics import ExportCounts
from sensor.records import Record

WAIT_S = 10  # a test that is stuck ends


def records(count: int, first: int = 0) -> list[Record]:
    return [Record(kind="action", ts=number) for number in range(first, first + count)]


class Memory:
    """A sink that keeps what it gets, stands still while `gate` is closed, and fails as told."""

    name = "memory"

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.failures: list[SinkError | Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.reopened = threading.Event()
        self.ticked = threading.Event()
        self.written = threading.Event()
        self.closed = False

    def write(self, batch: Sequence[Record]) -> None:
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        written = len(batch)
        failure = self.failures.pop(0) if self.failures else None
        if failure:
            written = failure.written if isinstance(failure, SinkError) else 0
        self.taken += [record.ts for record in batch[:written]]
        if failure:
            raise failure
        self.written.set()

    def tick(self) -> None:
        self.ticked.set()

    def reopen(self) -> None:
        self.reopened.set()

    def close(self) -> None:
        self.closed = True


class Case:
    def __init__(
        self, when_full: WhenFull, records_max: int = 1000, retry_first_s: float = 0.01
    ) -> None:
        self.sink = Memory()
        self.counts = ExportCounts()
        self.said: list[str] = []
        self.outbox = Outbox(
            self.sink,
            self.counts,
            records_max=records_max,
            when_full=when_full,
            report=self.said.append,
            tick_s=0.01,
            retry_first_s=retry_first_s,
        )

    def count(self, result: str) -> int:
        return self.counts.records.value("memory", result)

    def held(self) -> int:
        _, length = self.counts.queues["memory"]
        return length()


@pytest.mark.parametrize("when_full", WhenFull)
def test_all_records_arrive_in_order_and_stop_drains(when_full: WhenFull) -> None:
    case = Case(when_full, records_max=5000)
    for first in range(0, 5000, 100):
        case.outbox.offer(records(100, first))
    assert case.held() == 5000
    case.outbox.start()
    case.outbox.stop(WAIT_S)
    assert case.sink.taken == list(range(5000))
    assert case.sink.closed
    assert case.outbox.failed is None
    assert (case.count("written"), case.count("shed"), case.count("lost")) == (5000, 0, 0)
    assert case.held() == 0


def test_a_live_queue_sheds_what_does_not_fit_and_counts_it() -> None:
    case = Case(WhenFull.SHED, records_max=1000)
    case.sink.gate.clear()
    case.outbox.start()
    case.outbox.offer(records(700))
    assert case.sink.entered.wait(WAIT_S)  # a batch is under way, and still counts as held
    case.outbox.offer(records(700, 700))
    case.outbox.offer(records(5, 1400))
    case.sink.gate.set()
    case.outbox.stop(WAIT_S)
    assert case.sink.taken == list(range(1000))
    assert (case.count("written"), case.count("shed")) == (1000, 405)


def test_a_replay_waits_for_room_and_loses_nothing() -> None:
    case = Case(WhenFull.WAIT, records_max=10)
    case.sink.gate.clear()
    case.outbox.start()
    done = threading.Event()

    def offer() -> None:
        case.outbox.offer(records(100))
        done.set()

    thread = threading.Thread(target=offer)
    thread.start()
    assert case.sink.entered.wait(WAIT_S)
    assert not done.is_set()
    assert case.held() == 10
    case.sink.gate.set()
    thread.join(WAIT_S)
    case.outbox.stop(WAIT_S)
    assert case.sink.taken == list(range(100))
    assert case.count("written") == 100


def test_a_live_sink_that_fails_is_tried_again_from_where_it_stopped() -> None:
    case = Case(WhenFull.SHED)
    case.sink.failures = [SinkError("disk full", written=3), SinkError("disk full", written=2)]
    case.outbox.offer(records(10))
    case.outbox.start()
    case.outbox.stop(WAIT_S)
    assert case.sink.taken == list(range(10))
    assert case.said == ["memory: disk full"]  # said once, not per attempt
    assert case.counts.errors.value("memory") == 2
    assert case.outbox.problem == ""
    assert case.outbox.failed is None


def test_a_failing_sink_is_reopened_and_tried_at_once() -> None:
    case = Case(WhenFull.SHED, retry_first_s=2 * WAIT_S)
    case.sink.failures.append(SinkError("disk: full"))
    case.outbox.start()
    case.outbox.offer(records(5))
    assert case.sink.entered.wait(WAIT_S)
    while not case.outbox.problem:
        time.sleep(0.001)
    case.outbox.reopen()
    assert case.sink.reopened.wait(WAIT_S)
    assert case.sink.written.wait(WAIT_S)
    case.outbox.stop(WAIT_S)
    assert case.sink.taken == list(range(5))
    assert (case.count("written"), case.count("lost")) == (5, 0)


def test_a_live_sink_that_fails_until_the_end_loses_what_it_held() -> None:
    case = Case(WhenFull.SHED)
    case.sink.failures = [SinkError("disk full")] * 10_000
    case.outbox.offer(records(10))
    case.outbox.start()
    assert case.sink.entered.wait(WAIT_S)
    case.outbox.stop(drain_s=0.1)
    assert case.said == ["memory: disk full", "memory: 10 records lost: disk full"]
    assert (case.count("written"), case.count("lost")) == (0, 10)
    assert str(case.outbox.failed) == "disk full"


def test_the_time_of_a_stop_is_not_given_anew() -> None:
    case = Case(WhenFull.SHED)
    case.sink.failures = [SinkError("disk full")] * 10_000
    case.outbox.offer(records(10))
    case.outbox.start()
    assert case.sink.entered.wait(WAIT_S)
    begun = time.monotonic()
    case.outbox.begin_stop(drain_s=0.2)
    case.outbox.stop(WAIT_S)
    assert time.monotonic() - begun < WAIT_S / 2
    assert case.count("lost") == 10


def test_a_final_error_sheds_from_then_on() -> None:
    case = Case(WhenFull.SHED)
    case.sink.failures = [SinkError("gone", written=4, final=True)]
    case.outbox.offer(records(10))
    case.outbox.start()
    while case.outbox.failed is None:
        case.sink.entered.wait(0.01)
    case.outbox.offer(records(5))
    case.outbox.stop(WAIT_S)
    assert case.sink.taken == [0, 1, 2, 3]
    counted = (case.count("written"), case.count("lost"), case.count("shed"))
    assert counted == (4, 6, 5)


def test_a_replay_is_told_of_the_error_where_it_offers() -> None:
    case = Case(WhenFull.WAIT, records_max=10)
    case.sink.failures = [SinkError("disk full", written=1)]
    case.outbox.start()
    with pytest.raises(SinkError, match="disk full"):
        case.outbox.offer(records(1000))
    case.outbox.stop(WAIT_S)
    assert case.count("written") == 1
    assert case.count("lost") == 9


def test_a_reader_that_left_is_no_error_to_report() -> None:
    case = Case(WhenFull.WAIT)
    case.sink.failures = [ReaderGone("went away")]
    case.outbox.offer(records(3))
    case.outbox.start()
    case.outbox.stop(WAIT_S)
    assert isinstance(case.outbox.failed, ReaderGone)
    assert case.said == []


def test_a_defect_of_a_sink_is_contained() -> None:
    case = Case(WhenFull.SHED)
    case.sink.failures = [TypeError("no")]
    case.outbox.offer(records(3))
    case.outbox.start()
    case.outbox.stop(WAIT_S)
    assert str(case.outbox.failed) == "defect: TypeError: no"
    assert case.count("lost") == 3


def test_an_idle_sink_is_ticked_and_reopened() -> None:
    case = Case(WhenFull.SHED)
    case.outbox.start()
    assert case.sink.ticked.wait(WAIT_S)
    case.outbox.reopen()
    assert case.sink.reopened.wait(WAIT_S)
    case.outbox.stop(WAIT_S)
    assert case.sink.closed


def test_a_sink_that_is_never_idle_is_ticked_too() -> None:
    case = Case(WhenFull.WAIT)
    case.outbox.start()
    deadline = time.monotonic() + WAIT_S
    while not case.sink.ticked.is_set():
        assert time.monotonic() < deadline
        case.outbox.offer(records(1000))
    case.outbox.stop(WAIT_S)
    assert case.count("written") == len(case.sink.taken)


def test_an_error_of_closing_is_the_outboxs_failure() -> None:
    case = Case(WhenFull.WAIT)

    def close() -> None:
        raise SinkError("flush to disk: Input/output error")

    case.sink.close = close  # type: ignore[method-assign]
    case.outbox.offer(records(1))
    case.outbox.start()
    case.outbox.stop(WAIT_S)
    assert str(case.outbox.failed) == "flush to disk: Input/output error"
    assert case.count("written") == 1
