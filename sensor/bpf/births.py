"""Looks for processes as soon as one begins: a second is long for a worker that was just forked."""

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
_STOP_EVERY_S = 0.2  # how long close() may wait


class Births:
    """A thread that calls `look` whenever the kernel programs tell of a birth."""

    def __init__(self, ring_fd: int, look: Callable[[], None]) -> None:
        self._look = look
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._consumer = mmap.mmap(ring_fd, self._page)
        self._producer = mmap.mmap(ring_fd, self._page, prot=mmap.PROT_READ, offset=self._page)
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
        while not self._stopping.is_set():
            if self._ready.poll(_STOP_EVERY_S):
                self._drain()
                self._look_often()

    def _look_often(self) -> None:
        """Until a while after the last birth."""
        step, took_s = 0, 0.0
        while step < len(_LOOK_AFTER_S):
            if self._stopping.wait(max(_LOOK_AFTER_S[step], _REST * took_s)):
                return
            began_s = time.monotonic()
            self._look()
            took_s = time.monotonic() - began_s
            step = 1 if self._drain() else step + 1

    def _drain(self) -> bool:
        """How many and who does not matter. True if there was any."""
        told = self._producer[:8]
        if told == self._consumer[:8]:
            return False
        self._consumer[:8] = struct.pack("=Q", *struct.unpack("=Q", told))
        return True
