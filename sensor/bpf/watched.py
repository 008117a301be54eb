"""Names under which the kernel programs wait for processes: no more than their map has room for."""

import struct
import threading
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field

from sensor.bpf import kernel

NAMES_MAX = 1024  # of tap.bpf.h
_BYTES_MAX = 15  # TASK_COMM_LEN without its zero


@dataclass(frozen=True, slots=True)
class Following:
    """The taps of a process: struct traced of tap.bpf.h."""

    taps: frozenset[int] = frozenset()
    fork_waits: bool = True  # until somebody attaches to it; else a file's breakpoints do already

    def packed(self) -> bytes:
        bits = sum(1 << each for each in self.taps)
        return struct.pack("=QII", bits, min(self.taps, default=0), self.fork_waits)


@dataclass(slots=True)
class _Name:
    waits: dict[int, bool] = field(default_factory=dict)  # by tap: Following.fork_waits
    holders: set[tuple[int, Hashable]] = field(default_factory=set)  # a tap, and whose name it is


class Watched:
    """A name is kept beyond its last holder, who may be started again, until another needs room."""

    def __init__(self, map_fd: int) -> None:
        self._map_fd = map_fd
        self._names: dict[bytes, _Name] = {}  # the last that got a holder at the end
        self._held: dict[tuple[int, Hashable], _Name] = {}
        self._lock = threading.Lock()

    def hold(self, name: str, tap: int, fork_waits: bool, holder: Hashable) -> bool:
        """False: all names have holders already. Raises OSError."""
        key = name.encode(errors="replace")[:_BYTES_MAX].ljust(_BYTES_MAX + 1, b"\0")
        with self._lock:
            watched = self._names.pop(key, None)
            if watched is None and not self._has_room():
                return False
            watched = self._names[key] = watched or _Name()
            if watched.waits.get(tap) != fork_waits:
                watched.waits[tap] = fork_waits
                self._put(key, watched)
            watched.holders.add((tap, holder))
            self._held[tap, holder] = watched
            return True

    def release(self, tap: int, holder: Hashable) -> None:
        with self._lock:
            watched = self._held.pop((tap, holder), None)
            if watched:
                watched.holders.remove((tap, holder))

    def forget(self, tap: int) -> None:
        """It has closed."""
        with self._lock:
            self._held = {each: name for each, name in self._held.items() if each[0] != tap}
            for key, each in tuple(self._names.items()):
                each.holders = {holder for holder in each.holders if holder[0] != tap}
                if each.waits.pop(tap, None) is not None:
                    with suppress(OSError):
                        self._put(key, each)

    def _put(self, key: bytes, name: _Name) -> None:
        if name.waits:
            following = Following(frozenset(name.waits), any(name.waits.values()))
            kernel.put(self._map_fd, key, following.packed())
        else:
            del self._names[key]
            kernel.remove(self._map_fd, key)

    def _has_room(self) -> bool:
        if len(self._names) < NAMES_MAX:
            return True
        for key, each in self._names.items():
            if not each.holders:
                each.waits.clear()
                self._put(key, each)
                return True
        return False
