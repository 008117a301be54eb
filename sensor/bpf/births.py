"""Looks for processes as soon as one begins: a second is long for a worker that was just forked."""

import math
import mmap
import os
import select
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

# After a birth: at once, then while the new program loads its libraries.
_LOOK_AFTER_S = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3)
_REST = 4  # times as long as a look took, where births do not end
_NICE = -15
_BIRTH = struct.Struct("=II")
_HEADER_BYTES, _BUSY = 8, 1 << 31  # BPF_RINGBUF_HDR_SZ, _BUSY_BIT
_STOP_EVERY_S = 0.2  # how long close() may wait


class Births:
    """A thread that calls `follow` with the PIDs of a parent and of its fork, and then `look`.

    Whenever the kernel programs tell of a birth, which need not be a fork.
    """

    def __init__(
        self, ring_fd: int, follow: Callable[[int, int], None], look: Callable[[], None]
    ) -> None:
        self._follow, self._look = follow, look
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._consumer = mmap.mmap(ring_fd, self._page)
        self._producer = mmap.mmap(  # its position in a page, then the data twice
            ring_fd, 3 * self._page, prot=mmap.PROT_READ, offset=self._page
        )
        self._ready = select.epoll()
        self._ready.register(ring_fd, select.EPOLLIN)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="births", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._ready.close()
        self._consumer.close()
        self._producer.close()

    def _run(self) -> None:
        with suppress(OSError):  # only with the right to; it is seldom at work, but then in a hurry
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        step, look_at_s = 0, math.inf  # no look is due
        while not self._stopping.is_set():
            wait_s = look_at_s - time.monotonic()
            births = self._drain() if self._ready.poll(min(max(wait_s, 0), _STOP_EVERY_S)) else ()
            for parent, child in births:
                if child:
                    self._follow(parent, child)
            if births:
                step = 0 if look_at_s == math.inf else min(step, 1)
                look_at_s = min(look_at_s, time.monotonic() + _LOOK_AFTER_S[step])
            if time.monotonic() >= look_at_s:
                step, look_at_s = step + 1, self._look_at(step)

    def _look_at(self, step: int) -> float:
        """Now; when the next is due."""
        began_s = time.monotonic()
        self._look()
        ended_s = time.monotonic()
        if step + 1 == len(_LOOK_AFTER_S):
            return math.inf
        return ended_s + max(_LOOK_AFTER_S[step + 1], _REST * (ended_s - began_s))

    def _drain(self) -> list[tuple[int, int]]:
        """What is written: struct birth of process.bpf.c, of each."""
        (at,) = struct.unpack_from("=Q", self._consumer)
        births = []
        while at < struct.unpack_from("=Q", self._producer)[0]:
            start = self._page + at % self._page
            (length,) = struct.unpack_from("=I", self._producer, start)
            if length & _BUSY:
                break
            births.append(_BIRTH.unpack_from(self._producer, start + _HEADER_BYTES))
            at += _HEADER_BYTES + _BIRTH.size
            self._consumer[:8] = struct.pack("=Q", at)
        return births
