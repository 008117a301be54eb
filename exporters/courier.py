"""From a spool to a receiver, in a thread of its own, for as long as it takes.

A record leaves the spool once the receiver has it, or has refused it for good. A receiver that
fails is tried again, at growing intervals with jitter, so that many sensors do not come back at the
same moment; one that fails for good is tried at the longest interval, since somebody may mend it.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgpack

from exporters.delivery import Delivery
from exporters.outbox import SinkError
from exporters.segments import Batch
from exporters.spool import Spool
from exporters.transport import Tree
from sensor.records import Record

RETRY_FIRST_S = 0.5
RETRY_LONGEST_S = 30.0
IDLE_S = 1.0
GOODBYE_S = 1.0  # for a courier that is well, when the records' way to the spool took all the time


@dataclass(frozen=True, slots=True)
class Load:
    """Records on their way: what they are, their numbers, their bytes in the spool."""

    trees: list[Tree]
    numbers: list[int]
    sizes: list[int]

    def after(self, count: int) -> "Load":
        return Load(self.trees[count:], self.numbers[count:], self.sizes[count:])


NOTHING = Load([], [], [])


class Courier:
    """`start` and `stop` once each."""

    def __init__(
        self,
        spool: Spool,
        delivery: Delivery,
        *,
        records_max: int,
        bytes_max: int,
        report: Callable[[str], None],
        notice: Callable[[str], None],
        retry_first_s: float = RETRY_FIRST_S,
        retry_longest_s: float = RETRY_LONGEST_S,
    ) -> None:
        self._spool = spool
        self._delivery = delivery
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._report = report
        self._notice = notice
        self._retry_first_s = retry_first_s
        self._retry_longest_s = retry_longest_s
        self._delay_s = 0.0  # before the next attempt; 0: the last one passed
        self._failing_since = 0.0
        self._spool_problem = ""
        self._load = NOTHING
        self._called = threading.Event()  # to stop, or to try again at once
        self._stopping = False
        name = f"courier-{delivery.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def problem(self) -> str:
        """Why the receiver gets nothing now, or ""."""
        return self._delivery.problem or self._spool_problem

    def hurry(self) -> None:
        """Try a failing receiver now: somebody may have mended it."""
        self._called.set()

    def stop(self, drain_s: float) -> None:
        """Send what is in the spool, unless the receiver fails, or takes longer than that."""
        self._stopping = True
        self._called.set()
        self._spool.wake()
        self._thread.join(drain_s)
        if self._thread.is_alive():
            self._notice(f"{self._delivery.name}: did not answer before the end")
        if waiting := self._spool.waiting:
            self._notice(f"{self._delivery.name}: {waiting} records wait in the spool")

    def _run(self) -> None:
        while not self._pauses():
            try:
                if not self._step():
                    break
            except Exception as error:  # a defect of ours is not to end the deliveries for good
                self._delivery.fail(error)
                self._back_off()
        self._delivery.close()

    def _step(self) -> bool:
        """Deliver what there is; False when there is nothing, and it is to stop."""
        if not self._load.trees:
            self._load = self._next_load()
        if self._load.trees:
            self._load = self._deliver(self._load)
        elif self._stopping:
            return False
        else:
            self._idle()
        return True

    def _pauses(self) -> bool:
        """Waits where the last attempt failed; True when there is to be no other."""
        if self._delay_s:
            if not self._stopping:
                self._called.wait(self._delay_s * random.uniform(0.5, 1.0))
            self._called.clear()
            return self._stopping
        return False

    def _next_load(self) -> Load:
        """Of the spool, or NOTHING when there is nothing in it."""
        try:
            while (batch := self._spool.read(self._records_max, self._bytes_max)).records:
                load = self._unpacked(batch)
                if load.trees:
                    return load
        except SinkError as error:
            self._say_of_spool(error)
        else:
            self._spool_problem = ""
        return NOTHING

    def _unpacked(self, batch: Batch) -> Load:
        load = Load([], [], [])
        for number, packed in zip(batch.numbers, batch.records, strict=True):
            try:
                load.trees.append(msgpack.unpackb(packed))
            except Exception as error:  # no record of ours: nobody will ever take it
                self._delivery.lose(error)
                continue
            load.numbers.append(number)
            load.sizes.append(len(packed))
        return load

    def _idle(self) -> None:
        """A receiver that is not connected is called before there is something for it."""
        if self._delivery.connected or self._delivery.probe():
            self._settle()
            self._spool.wait(IDLE_S)
        else:
            self._back_off()

    def _deliver(self, load: Load) -> Load:
        """What is left of it."""
        settled = self._delivery.send(load.trees)
        if settled:
            self._delivery.count_bytes(sum(load.sizes[:settled]))
            try:
                self._spool.acknowledge(load.numbers[settled - 1])
            except SinkError as error:  # it will be sent again after a restart, no more
                self._report(f"{self._delivery.name}: {error}")
        if self._delivery.error is not None:
            self._back_off()
        else:
            self._settle()
        return load.after(settled)

    def _back_off(self) -> None:
        if not self._delay_s:
            self._failing_since = time.monotonic()
        error = self._delivery.error
        if error is not None and error.final:
            self._delay_s = self._retry_longest_s
        else:
            longer_s = self._delay_s * 2 or self._retry_first_s
            self._delay_s = min(longer_s, self._retry_longest_s)

    def _settle(self) -> None:
        if self._delay_s:
            away_s = time.monotonic() - self._failing_since
            waiting = self._spool.waiting
            self._notice(
                f"{self._delivery.name}: takes records again after {away_s:.0f} s; {waiting} wait"
            )
        self._delay_s = 0.0

    def _say_of_spool(self, error: SinkError) -> None:
        if not self._spool_problem:
            self._report(f"{self._delivery.name}: {error}")
        self._spool_problem = str(error)
        self._called.wait(IDLE_S)
        self._called.clear()


class SpooledSink:
    """What an outbox writes to: records go to the spool, from which the courier takes them."""

    def __init__(
        self,
        spool: Spool,
        courier: Courier,
        delivery: Delivery,
        prepare: Callable[[Record], Tree | None],
        *,
        drain_s: float,
    ) -> None:
        self.name = delivery.name
        self._spool = spool
        self._courier = courier
        self._delivery = delivery
        self._prepare = prepare
        self._drain_s = drain_s
        self._stop_by: float | None = None
        self.problem = courier.problem
        self.tick = spool.tick
        self.reopen = courier.hurry
        self.is_filled = spool.is_filled

    def write(self, records: Sequence[Record]) -> None:
        """All that the sink wants are in the spool, or SinkError."""
        packed: list[bytes] = []
        places: list[int] = []  # of each packed record among the records
        for at, record in enumerate(records):
            try:
                tree = self._prepare(record)
                if tree is not None:
                    packed.append(_packed(tree))
                    places.append(at)
            except Exception as error:  # a defect of ours costs the record that it is about
                self._delivery.lose(error)
        try:
            self._spool.append(packed)
        except SinkError as error:
            error.written = places[error.written] if error.written < len(places) else len(records)
            raise

    def begin_stop(self, drain_s: float) -> None:
        """All has `drain_s` from now: what the spool takes is not there for the receiver."""
        self._stop_by = time.monotonic() + drain_s

    def close(self) -> None:
        drain_s = self._drain_s
        if self._stop_by is not None:
            drain_s = min(drain_s, max(GOODBYE_S, self._stop_by - time.monotonic()))
        self._courier.stop(drain_s)
        self._spool.close()


def _packed(tree: Tree) -> bytes:
    """Text that is not UTF-8 is escaped, as in JSON."""
    packed: bytes = msgpack.packb(tree, unicode_errors="backslashreplace")
    return packed
