"""What a receiver's protocol has to offer: records go in, and what the receiver refused comes out.

A transport connects when it first needs to, and again after an error. It knows nothing of queues,
spools or retries: `exporters/courier.py` owns those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Tree = Mapping[str, Any]  # a record as sensor.records.as_dict has it, or a format's document


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the receiver will never take, by its number in the batch."""

    index: int
    reason: str  # as the receiver said it, one line


class Transport(Protocol):
    """One receiver. All methods are called by one thread; each may raise SinkError.

    SinkError.written says how many records, counted from the first, the receiver has for certain.
    A `final` error is one that trying again cannot heal (a wrong key, a bad certificate): it is
    tried again nevertheless, at the longest interval, since somebody may mend it.
    """

    acknowledges: bool  # False: what was sent may still be lost on the way

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        """Returns once the receiver has (acknowledged, or was sent) all but the refused."""

    def probe(self) -> str:
        """Connect and authenticate, send no record; what the receiver said, in one line."""

    def close(self) -> None: ...
