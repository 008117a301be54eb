"""From a replay straight to a receiver: no spool, since what is read can be read again.

The replay waits while the receiver is slow, or away for no longer than PATIENCE_S.
"""

import time
from collections.abc import Callable, Sequence

from exporters.delivery import Delivery
from exporters.outbox import SinkError
from exporters.transport import Tree
from sensor.records import Record

PATIENCE_S = 60.0  # a receiver that restarts is back within a minute
RETRY_FIRST_S = 0.25
RETRY_LONGEST_S = 5.0


class DirectSink:
    """What an outbox of a replay writes to."""

    def __init__(
        self,
        delivery: Delivery,
        prepare: Callable[[Record], Tree | None],
        *,
        records_max: int,
        report: Callable[[str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.name = delivery.name
        self._delivery = delivery
        self._prepare = prepare
        self._records_max = records_max
        self._report = report
        self._patience_s = patience_s

    def write(self, records: Sequence[Record]) -> None:
        """All that the sink wants are with the receiver, or SinkError, and there is no use."""
        wanted = [(at, tree) for at, each in enumerate(records) if (tree := self._prepare(each))]
        done = 0
        while done < len(wanted):
            batch = [tree for _, tree in wanted[done : done + self._records_max]]
            settled, error = self._deliver(batch)
            done += settled
            if error is not None:
                raise SinkError(str(error), written=wanted[done][0], final=True)

    def tick(self) -> None:
        pass

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        self._delivery.close()

    def _deliver(self, batch: list[Tree]) -> tuple[int, SinkError | None]:
        """How many are settled, and why not all."""
        delay_s = RETRY_FIRST_S
        give_up_at = time.monotonic() + self._patience_s
        settled, said = 0, False
        while settled < len(batch):
            took = self._delivery.send(batch[settled:])
            settled += took
            error = self._delivery.error
            if error is None:
                continue
            if error.final or time.monotonic() + delay_s > give_up_at:
                return settled, error
            if not said:
                self._report(f"{self.name}: {error}; tried for {self._patience_s:g} s")
            said = True
            time.sleep(delay_s)
            delay_s = RETRY_FIRST_S if took else min(delay_s * 2, RETRY_LONGEST_S)
        return settled, None
