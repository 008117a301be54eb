"""What `tests/bench/export.py` measures: transports, each beside a receiver that counts.

A module tests/bench/receive_*.py registers its own:

    @receiver("relp")
    @contextmanager
    def relp(directory: Path) -> Iterator[Measured]:
        with some_server(directory) as server:
            yield Measured(Relp(server.endpoint, FORMAT), server.count, server.cpu_s)
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from exporters.transport import Transport


def _unknown() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    transport: Transport
    received: Callable[[], int]  # records that the receiver has, all told
    receiver_cpu_s: Callable[[], float] = _unknown  # of its process, if it is another one


Start = Callable[[Path], AbstractContextManager[Measured]]  # a directory of its own
RECEIVERS: dict[str, Start] = {}
ALONE_ONLY: set[str] = set()  # senders of others, for comparison: they have no spool of ours


def receiver(name: str) -> Callable[[Start], Start]:
    def register(start: Start) -> Start:
        RECEIVERS[name] = start
        return start

    return register
