"""Secrets between an input and the core: whole lines pass, the rest waits for its end.

Invariant: no bytes object ever holds a secret. They lie in memory that is left out of core files
and children, is locked where the kernel allows that, and is wiped as soon as the core has its
copy.
"""

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass

# A key log line is some 200 bytes, RFC 9850's longest below 1 KiB; a datagram at most 64 KiB.
BUFFER_BYTES = 64 * 1024

Take = Callable[[memoryview], bool]  # lines to the core, which copies them; False: no room now

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_ZEROS = memoryview(bytes(BUFFER_BYTES))


class LockedMemory:
    """A private mapping of its own, so that nothing else shares its pages."""

    def __init__(self, size_bytes: int = BUFFER_BYTES) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.map = mmap.mmap(-1, size_bytes, flags=flags)
        self.map.madvise(mmap.MADV_DONTDUMP)
        self.map.madvise(mmap.MADV_DONTFORK)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        # Refused beyond RLIMIT_MEMLOCK: `hoptap check` says so.
        self.is_locked = _LIBC.mlock(address, size_bytes) == 0
        self.view = memoryview(self.map)

    def wipe(self, start: int, stop: int) -> None:
        while start < stop:
            size = min(stop - start, len(_ZEROS))
            self.view[start : start + size] = _ZEROS[:size]
            start += size

    def close(self) -> None:
        """May be called twice."""
        if not self.map.closed:
            self.wipe(0, len(self.map))
            self.view.release()
            self.map.close()


@dataclass(slots=True)
class Tally:
    """What came through an input. Each only rises; names are those of metrics.KEY_HELP."""

    read_bytes: int = 0
    overlong_lines: int = 0
    shed_bytes: int = 0
    cut_datagrams: int = 0
    dropped_datagrams: int = 0
    rotations: int = 0
    truncations: int = 0
    errors: int = 0


class Lines:
    """Bytes of one input, read into `room`, handed over as whole lines.

    A line that does not fit is no key: it is skipped to its end and counted.
    """

    def __init__(self, take: Take, tally: Tally) -> None:
        self._take = take
        self._tally = tally
        self._memory = LockedMemory()
        self._held = 0
        self._skipping = False

    def room(self) -> memoryview:
        """Where the next bytes go; never empty after a flush that had its way."""
        return self._memory.view[self._held :]

    def add(self, count: int) -> None:
        """The first `count` bytes of `room` are new."""
        new, self._held = self._held, self._held + count
        if self._skipping:
            end = self._memory.map.find(b"\n", new, self._held)
            self._skipping = end < 0
            self._remove(self._held if end < 0 else end + 1)

    def flush(self) -> bool:
        """Hand over what is whole. False: the core has no room now, nothing was lost."""
        whole = self._memory.map.rfind(b"\n", 0, self._held) + 1
        if whole and not self._hand_over(whole):
            return False
        if self._held == BUFFER_BYTES:
            self._tally.overlong_lines += 1
            self._skipping = True
            self.drop()
        return True

    def end(self) -> bool:
        """The input is over, so its last line is whole too. False as in flush."""
        if not self.flush():
            return False
        self._skipping = False
        return not self._held or self._hand_over(self._held)

    def replace(self, old: int, new: int) -> None:
        """One byte for another, in what is held."""
        at = self._memory.map.find(bytes((old,)), 0, self._held)
        while at >= 0:
            self._memory.map[at] = new
            at = self._memory.map.find(bytes((old,)), at, self._held)

    def drop(self) -> int:
        """Forget what is held; how much that was."""
        held = self._held
        self._remove(held)
        return held

    def close(self) -> None:
        self._memory.close()

    def _hand_over(self, count: int) -> bool:
        with self._memory.view[:count] as lines:
            if not self._take(lines):
                return False
        self._tally.read_bytes += count
        self._remove(count)
        return True

    def _remove(self, count: int) -> None:
        rest = self._held - count
        if rest:
            self._memory.map.move(0, count, rest)
        self._memory.wipe(rest, self._held)
        self._held = rest
