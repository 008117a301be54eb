"""Batch after batch to a transport, again after each error: what a courier does, in few lines."""

import time
from collections.abc import Callable, Sequence

from exporters.outbox import SinkError
from exporters.transport import Refused, Transport, Tree

BATCH_RECORDS = 512
RETRY_S = 0.05
GIVE_UP_S = 60.0


def deliver(
    transport: Transport,
    records: Sequence[Tree],
    *,
    batch_records: int = BATCH_RECORDS,
    between: Callable[[int], None] = lambda safe: None,
) -> list[Refused]:
    """What was refused, by its number in `records`. `between` is told how many are safe by now."""
    refused: list[Refused] = []
    first = 0
    give_up_at = time.monotonic() + GIVE_UP_S
    while first < len(records):
        batch = records[first : first + batch_records]
        try:
            told = transport.send(batch)
        except SinkError as error:
            if time.monotonic() > give_up_at:
                raise
            first += error.written
            time.sleep(RETRY_S)  # a receiver that is down needs a while to come back
            continue
        refused += [Refused(first + each.index, each.reason) for each in told]
        first += len(batch)
        between(first)
    return refused


def failure_of(transport: Transport, records: Sequence[Tree]) -> SinkError:
    """The error with which the transport answers these records; one line, and no more."""
    try:
        transport.send(records)
    except SinkError as error:
        assert "\n" not in str(error)
        return error
    finally:
        transport.close()
    raise AssertionError("the receiver took the records")
