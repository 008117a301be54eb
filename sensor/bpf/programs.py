"""The kernel programs, loaded once for every tap of this process, and their maps."""

import errno
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from sensor.bpf import headers, kernel, rights
from sensor.bpf.kernel import Probe
from sensor.bpf.watched import Following, Watched
from sensor.exits import Exit, HoptapError

RING_BYTES = 16 * 1024 * 1024  # a power of two: a second at 16 MB/s of plaintext
_LOAD_TIMEOUT_S = 60  # BCC takes 2 s; a loaded machine ten times that
_FDS_MAX = 128
_CLOSERS_MAX = 32
_NAMES_BYTES_MAX = 8192
# enum loss of tap.bpf.h, in its order
LOSSES = ("ring", "unreadable", "long", "call", "fork")
_SAID_AT_ONCE = 64  # UNSAID_AT_ONCE of tap.bpf.h
_TRACEPOINTS = {
    "on_exit": "sched_process_exit",
    "on_exec": "sched_process_exec",
    "on_fork": "sched_process_fork",
}


_REFUSED = errno.EPERM, errno.EACCES
_PASSING = errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN


class TapError(HoptapError):
    """Why a tap cannot be opened. By default something is to be changed before it can be."""

    def __init__(self, line: str, code: Exit = Exit.CONFIGURATION) -> None:
        super().__init__(line)
        self.code = code

    @classmethod
    def of(cls, subject: str, error: OSError) -> "TapError":
        code = Exit.CONFIGURATION
        if error.errno in _REFUSED:
            code = Exit.PERMISSION
        elif error.errno in _PASSING:
            code = Exit.INPUT
        return cls(f"{subject}: {error.strerror or error}", code)


class Programs:
    """Descriptors; what is attached keeps its program in the kernel by itself."""

    def __init__(self, ring_bytes: int = RING_BYTES, multi: bool | None = None) -> None:
        """Compiles and loads. `multi`: one link for many places. Raises TapError."""
        self._multi = kernel.has_multi() if multi is None else multi
        try:
            self._fds = _load(ring_bytes, self._multi)
        except OSError as error:
            raise TapError.of("tap", error) from None
        self.watched = Watched(self._fds["names"])  # whose birth is told
        self._links: dict[str, int] = {}
        self._saying = threading.Lock()
        self._cpus = kernel.possible_cpus()
        try:
            for program, tracepoint in _TRACEPOINTS.items():
                self._attach_tracepoint(program, tracepoint)
        except TapError:
            self.close()
            raise

    @property
    def ring_fd(self) -> int:
        return self._fds["ring"]

    @property
    def births_fd(self) -> int:
        """A ring that has a word for each process that began under one of the names."""
        return self._fds["births"]

    def find_sockets(self) -> None:
        """By the system calls of who is in a call. Costs each one of this machine some 60 ns."""
        self._attach_tracepoint("on_system_call", "sys_enter")

    def _attach_tracepoint(self, program: str, name: str) -> None:
        """Once. Raises TapError."""
        if program in self._links:
            return
        try:
            self._links[program] = kernel.attach_tracepoint(self._fds[program], name)
        except OSError as error:
            raise TapError.of(f"tap: tracepoint {name}", error) from None

    def follow(self, pid: int, taps: Following) -> None:
        """Its forks as well. Raises OSError."""
        kernel.put(self._fds["traced"], struct.pack("=I", pid), taps.packed())

    def leave(self, pid: int) -> None:
        with suppress(OSError):  # it ended, which the programs saw before
            kernel.remove(self._fds["traced"], struct.pack("=I", pid))

    def attach(
        self, program: str, path: str, probes: list[Probe], *, returns: bool, pid: int
    ) -> list[int]:
        """Links, to be closed. Raises OSError."""
        fd = self._fds[program]
        if self._multi:
            return [kernel.attach_all(fd, path, probes, returns=returns, pid=pid)]
        links: list[int] = []
        try:
            for probe in probes:
                links.append(kernel.attach_one(fd, path, probe, returns=returns, pid=pid))
        except OSError:
            close_all(links)
            raise
        return links

    def losses(self, tap: int) -> dict[str, int]:
        """By reason, what this tap lost: events and bytes. Raises OSError."""
        counts = {}
        for number, reason in enumerate(LOSSES, tap * len(LOSSES)):
            value = kernel.look_up(self._fds["losses"], number, 16 * self._cpus)
            numbers = struct.unpack(f"={2 * self._cpus}Q", value)
            counts[f"{reason}_events"] = sum(numbers[::2])
            counts[f"{reason}_bytes"] = sum(numbers[1::2])
        return counts

    def say_unsaid(self) -> None:
        """What the ring had no room for when it happened: ends, and bytes lost before them."""
        if self._saying.acquire(blocking=False):  # the programs have it said by one at a time
            try:
                while kernel.run(self._fds["on_room"]) == _SAID_AT_ONCE:
                    pass
            finally:
                self._saying.release()

    def close(self) -> None:
        """May be called twice."""
        close_all([*self._links.values(), *self._fds.values()])
        self._links, self._fds = {}, {}


def close_all(fds: list[int]) -> None:
    """At once: the kernel makes each wait until nobody runs its program."""
    if fds:
        with ThreadPoolExecutor(min(len(fds), _CLOSERS_MAX)) as closers:
            list(closers.map(os.close, fds))
    fds.clear()


def _load(ring_bytes: int, multi: bool) -> dict[str, int]:
    ours, theirs = socket.socketpair()
    with ours, theirs, headers.environment() as told:
        command = [sys.executable, "-P", "-m", "sensor.bpf.compile"]
        try:
            done = subprocess.run(
                [*command, str(theirs.fileno()), str(ring_bytes), str(int(multi))],
                pass_fds=[theirs.fileno()], env=os.environ | told, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=_LOAD_TIMEOUT_S,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            said = f"tap: BCC did not end within {_LOAD_TIMEOUT_S} s"
            raise TapError(said, Exit.INPUT) from None
        theirs.close()
        names, fds, _, _ = socket.recv_fds(
            ours, _NAMES_BYTES_MAX, _FDS_MAX, socket.MSG_CMSG_CLOEXEC
        )
    if done.returncode != 0 or not names:
        raise _failure(done.stderr.decode(errors="replace"))
    return dict(zip(json.loads(names), fds, strict=True))


def _failure(said: str) -> TapError:
    if lacking := rights.lacking():
        return TapError(f"tap: needs {' '.join(lacking)}: see hoptap check", Exit.PERMISSION)
    refused = os.strerror(errno.EPERM) in said
    return TapError(f"tap: {_reason(said)}", Exit.PERMISSION if refused else Exit.CONFIGURATION)


def _reason(said: str) -> str:
    """The line that tells most: the first error of the compiler, else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return f"BCC: {(errors or lines[-1:] or ['said nothing'])[0]}"
