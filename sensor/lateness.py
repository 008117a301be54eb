"""The order of packet time, kept although a key came late.

What a late key opens was said before what others have said since. A leg of a proxy would follow
the one that it caused, a call the action it led to. So everything waits as long as a key may take,
and goes on in the order in which it happened. A key later than that changes the order, and loses
nothing.
"""

import heapq
from collections.abc import Callable
from functools import partial
from typing import Protocol

from decoders.message import Message
from sensor.flows import Flow
from sensor.records import Record, Tls
from sensor.streams import Meaning
from sensor.tls import TlsSeen

HELD_MAX = 65536  # a second of 30,000 transactions, twice; beyond it the oldest wait less


class Ending(Meaning, Protocol):
    def finish(self) -> list[Record]: ...


class InOrder:
    """Stands before `meaning`, `lag_ns` behind what is seen."""

    def __init__(self, meaning: Ending, lag_ns: int, held_max: int = HELD_MAX) -> None:
        self._meaning = meaning
        self._lag_ns = lag_ns
        self._held_max = held_max
        self._held: list[tuple[int, int, Callable[[], list[Record]]]] = []  # heap by time, turn
        self._turn = 0
        self._now_ns = 0

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        call = partial(self._meaning.message, flow, message, visibility, tls)
        return self._hold(message.end_ns, call)

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        def call() -> list[Record]:
            self._meaning.tls(flow, seen, time_ns)
            return []

        # Of a full heap nothing is let go here, since records could not be returned.
        self._push(time_ns, call)

    def tapped(self, flow: Flow, time_ns: int) -> None:
        def call() -> list[Record]:
            self._meaning.tapped(flow, time_ns)
            return []

        self._push(time_ns, call)

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        call = partial(self._meaning.gap, flow, direction, size_bytes, time_ns, tls)
        return self._hold(time_ns, call)

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        def call() -> list[Record]:
            self._meaning.proxy_header(flow, client_ip, client_port, time_ns, certificate)
            return []

        self._push(time_ns, call)

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        return self._hold(time_ns, partial(self._meaning.flow_end, flow, time_ns))

    def advance(self, watermark_ns: int) -> list[Record]:
        due_ns = watermark_ns - self._lag_ns
        records: list[Record] = []
        while self._held and self._held[0][0] <= due_ns:
            records += self._release()
        return records + self._advance(due_ns)

    def finish(self) -> list[Record]:
        records: list[Record] = []
        while self._held:
            records += self._release()
        return records + self._meaning.finish()

    def _hold(self, time_ns: int, call: Callable[[], list[Record]]) -> list[Record]:
        self._push(time_ns, call)
        return self._release() if len(self._held) > self._held_max else []

    def _push(self, time_ns: int, call: Callable[[], list[Record]]) -> None:
        self._turn += 1
        heapq.heappush(self._held, (time_ns, self._turn, call))

    def _release(self) -> list[Record]:
        time_ns, _, call = heapq.heappop(self._held)
        return self._advance(time_ns) + call()

    def _advance(self, time_ns: int) -> list[Record]:
        if time_ns <= self._now_ns:
            return []
        self._now_ns = time_ns
        return self._meaning.advance(time_ns)
