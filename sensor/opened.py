"""Disks, consoles and files that are open, so that the bytes moved can be told when they close.

A backup takes hours, longer than actions are kept: the last record of each is kept with it.
"""

from collections import OrderedDict
from dataclasses import dataclass

from decoders.message import Call, Moved
from sensor.records import Record

OPENED_MAX = 8192  # hosts allow some fifty connections each; 3 kB of record each

# What is opened over HTTP is closed with its answer.
_APIS = frozenset({"authd", "nfc", "vix"})


@dataclass(slots=True)
class Open:
    seq: int  # of its action, in the correlator
    record: Record | None = None  # the last said about it


class Opened:
    def __init__(self, opened_max: int = OPENED_MAX) -> None:
        self._opened_max = opened_max
        self._open: OrderedDict[tuple[str, int], Open] = OrderedDict()  # session, time of the call
        self._keys: dict[int, tuple[str, int]] = {}  # by action
        self.shed = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, call: Call, seq: int) -> None:
        if call.api not in _APIS or not call.token:
            return
        key = (call.token, call.time_ns)
        self._forget(key)
        self._open[key] = Open(seq)
        self._keys[seq] = key
        if len(self._open) > self._opened_max:
            self._forget(next(iter(self._open)))
            self.shed += 1

    def said(self, seq: int, record: Record) -> None:
        """A record about an action."""
        key = self._keys.get(seq)
        if key is not None:
            self._open[key].record = record

    def closed(self, message: Moved) -> Open | None:
        return self._forget((message.token, message.call_ns))

    def _forget(self, key: tuple[str, int]) -> Open | None:
        found = self._open.pop(key, None)
        if found is not None:
            del self._keys[found.seq]
        return found
