"""Handing records to a receiver, once: what became of each is counted, what failed is said.

Whether and when to try again is decided by who calls: exporters/courier.py, exporters/direct.py.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

from exporters.deadletter import DeadLetters
from exporters.formats.format import Format
from exporters.outbox import SinkError
from exporters.transport import Refused, Transport, Tree
from sensor.metrics import ExportCounts


class Delivery:
    """A transport, and what is known of it. Used by one thread; its problem is read by others."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        format: Format,
        letters: DeadLetters,
        counts: ExportCounts,
        *,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.problem = ""  # why the last attempt failed; "" once one passes
        self.error: SinkError | None = None  # the same
        self._has_lost = False
        self._unsettled = 0  # records that the last attempt sent in vain
        self._transport = transport
        self._format = format
        self._letters = letters
        self._counts = counts
        self._report = report
        self._clock = clock
        counts.start_receiver(name)

    @property
    def connected(self) -> bool:
        return self._counts.connected[self.name]

    def send(self, records: Sequence[Tree]) -> int:
        """How many are settled, from the first on: taken, or refused for good.

        Fewer than all and an `error`: the receiver took no more; without one, go on with the rest.
        """
        if self._unsettled:
            again = min(self._unsettled, len(records))
            self._counts.records.add(self.name, "retried", by=again)
            self._unsettled = 0
        try:
            refused = self._transport.send(records)
        except SinkError as error:
            return self._failed(error, records)
        except Exception as error:  # a defect of ours must not stop what comes after
            return self._broke(error, records)
        self._passed()
        self._took(len(records) - len(refused))
        self._refuse(records, refused)
        return len(records)

    def probe(self) -> bool:
        """Connects, so that a receiver that cannot be reached is known before the first record."""
        try:
            self._transport.probe()
        except SinkError as error:
            self._failed(error, [])
        except Exception as error:
            self._failed(_defect(error), [])
        else:
            self._passed()
        return self.error is None

    def fail(self, error: Exception) -> None:
        """Of a defect on the way to here."""
        self._failed(_defect(error), [])

    def count_bytes(self, count: int) -> None:
        self._counts.bytes.add(self.name, by=count)

    def lose(self, error: Exception) -> None:
        """A record that could not even be prepared; from any thread."""
        self._counts.records.add(self.name, "lost")
        if not self._has_lost:
            self._report(f"{self.name}: a record is lost: {_defect(error)}")
        self._has_lost = True

    def close(self) -> None:
        with suppress(Exception):  # it is over either way
            self._transport.close()
        self._letters.close()
        self._counts.connected[self.name] = False

    def _passed(self) -> None:
        self.problem, self.error = "", None
        self._counts.connected[self.name] = True

    def _took(self, count: int) -> None:
        if count:
            self._counts.records.add(self.name, "written", by=count)
            self._counts.last_ack_s[self.name] = self._clock()

    def _refuse(self, records: Sequence[Tree], refused: Sequence[Refused]) -> None:
        if refused:
            self._counts.records.add(self.name, "refused", by=len(refused))
            self._letters.keep([(records[each.index], each.reason) for each in refused])

    def _failed(self, error: SinkError, records: Sequence[Tree]) -> int:
        """Said once until an attempt passes, and again when there is no hope left."""
        self._counts.connected[self.name] = False
        self._counts.errors.add(self.name)
        written = min(error.written, len(records))
        self._took(written)
        self._unsettled = len(records) - written
        if self.error is None or (error.final and not self.error.final):
            self._report(f"{self.name}: {error}")
        self.problem, self.error = str(error), error
        return written

    def _broke(self, error: Exception, records: Sequence[Tree]) -> int:
        """A record that cannot be rendered would stop all others for good: it is refused."""
        with suppress(Exception):
            self._transport.close()
        for at, record in enumerate(records):
            if reason := self._rendering_defect(record):
                settled = self.send(records[:at]) if at else 0
                if settled < at:
                    return settled
                self._report(f"{self.name}: a record is refused: {reason}")
                self._refuse([record], [Refused(0, reason)])
                return at + 1
        return self._failed(_defect(error), records)

    def _rendering_defect(self, record: Tree) -> str:
        try:
            self._format.render(record)
        except Exception as error:
            return str(_defect(error))
        return ""


def _defect(error: Exception) -> SinkError:
    """Where, not what: the text could quote a record, or a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return SinkError(f"defect: {type(error).__name__}{where}", final=True)
