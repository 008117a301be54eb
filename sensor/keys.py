"""Intake of TLS session secrets: files, FIFOs, sockets and private keys to every worker's core.

A secret is in memory only, as short as can be: no part of it is logged, recorded, counted by value
or written. Whoever hands it over is not made to wait.
"""

import logging
import os
import select
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, fields
from pathlib import Path
from typing import Protocol

from sensor.exits import ConfigError, os_error_line
from sensor.keybuffer import BUFFER_BYTES, LockedMemory, Take, Tally
from sensor.keylog import KeyLog, read_whole
from sensor.keyports import KeyDatagrams, KeyFifo, KeyUdp
from sensor.settings import KeySettings

log = logging.getLogger(__name__)

KEY_LOG = 1  # enum tls_key_source of sensor/core/tls.h
# A key is in the core within twice that: here at the next turn, there at the next fill.
TURN_S = 0.05
# Shortest useful line: CLIENT_TRAFFIC_SECRET_0, a client random and 32 bytes, in hex.
LINE_BYTES_MIN = 153


class Receiver(Protocol):
    """What takes secrets: sensor/_core.pyi Source."""

    def add_secrets(self, lines: bytes | bytearray | memoryview, key_source: int) -> bool: ...
    def add_rsa_key(self, pem: bytes | bytearray | memoryview) -> None: ...


class _Input(Protocol):
    kind: str
    name: str
    tally: Tally
    problem: str

    def poll(self) -> bool: ...
    def close(self) -> None: ...


def taker(receivers: Sequence[Receiver]) -> Take:
    """Lines to every worker: any of them may see the session's flow."""

    def take(lines: memoryview) -> bool:
        # A list, so that one worker without room keeps nothing from the others; a secret that
        # comes twice is one.
        return all([receiver.add_secrets(lines, KEY_LOG) for receiver in receivers])

    return take


def add_rsa_key(path: str, receivers: Sequence[Receiver]) -> None:
    """Before the first fill. Raises ConfigError."""
    with closing(LockedMemory(BUFFER_BYTES)) as memory:
        size = _read_small(path, memory)
        for receiver in receivers:
            try:
                with memory.view[:size] as pem:
                    receiver.add_rsa_key(pem)
            except ValueError as error:
                raise ConfigError(f"RSA key {path}: {error}") from None


def _read_small(path: str, memory: LockedMemory) -> int:
    """Bytes of the file, which lie in `memory`; what does not fit is no key."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = 0
            while count := os.readv(file, [memory.view[size:]]):
                size += count
            return size
        finally:
            os.close(file)
    except OSError as error:
        raise ConfigError(os_error_line(f"RSA key {path}", error)) from None


def add_logs(paths: Iterable[str], receivers: Sequence[Receiver]) -> None:
    """Key logs as they are, before the first packet of a replay. Raises ConfigError."""
    take = taker(receivers)
    for path in paths:
        try:
            warn_of_readers("key log", path)
            read_whole(path, take)
        except OSError as error:
            raise ConfigError(os_error_line(f"key log {path}", error)) from None


def lines_most(paths: Iterable[str]) -> int:
    """Upper bound of the keys that these files hold; of pipes and what is not there, 0."""
    sizes = (Path(path).stat().st_size for path in paths if Path(path).is_file())
    return sum(size // LINE_BYTES_MIN + 1 for size in sizes)


def warn_of_readers(what: str, path: str) -> None:
    """Raises OSError when it is not there."""
    if os.stat(path).st_mode & stat.S_IROTH:
        log.warning("%s %s: others on this machine may read it; chmod o-r %s", what, path, path)


class KeyIntake:
    """Every configured input of a live run, watched by one thread."""

    def __init__(self, settings: KeySettings, receivers: Sequence[Receiver]) -> None:
        """Opens them. Raises ConfigError with a line for each that cannot be."""
        take = taker(receivers)
        self._inputs: list[_Input] = []
        self._stopping = threading.Event()
        self._defect = ""
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        lines = [line for line in self._opened(settings, take) if line]
        if lines:
            self.close()
            raise ConfigError(*lines)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and closes the inputs; what came before is in the core."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for each in self._inputs:
            each.close()

    def problem(self) -> str:
        """Why keys may be missed now, or ""."""
        problems = [f"key log {each.name}: {each.problem}" for each in self._inputs if each.problem]
        return "; ".join(filter(None, (self._defect, *problems)))

    def tallies(self) -> dict[str, dict[str, int]]:
        """Kind of input -> what came through those of it."""
        names = [field.name for field in fields(Tally)]
        kinds = {each.kind: [0] * len(names) for each in self._inputs}
        for each in self._inputs:
            counts = zip(kinds[each.kind], astuple(each.tally), strict=True)
            kinds[each.kind] = [sum(pair) for pair in counts]
        return {kind: dict(zip(names, counts, strict=True)) for kind, counts in kinds.items()}

    def _opened(self, settings: KeySettings, take: Take) -> Iterator[str]:
        """Opens each; what is wrong with it, or ""."""
        unix, udp = filter(None, (settings.unix,)), filter(None, (settings.udp,))
        for what, names, kind in (
            ("key log", settings.logs, _log_or_fifo),
            ("FIFO", settings.fifo, KeyFifo),
            ("keys.unix", unix, KeyDatagrams),
            ("keys.udp", udp, KeyUdp),
        ):
            for name in names:
                yield self._open(what, name, kind, take)

    def _open(self, what: str, name: str, kind: Callable[[str, Take], _Input], take: Take) -> str:
        try:
            opened = kind(name, take)
        except OSError as error:
            return os_error_line(f"{what} {name}", error)
        self._inputs.append(opened)
        opened.poll()
        return f"{what} {name}: {opened.problem}" if opened.problem else ""

    def _run(self) -> None:
        wake = select.poll()
        for each in self._inputs:
            if isinstance(each, KeyDatagrams | KeyUdp):
                wake.register(each.fileno(), select.POLLIN)
        try:
            while not self._stopping.is_set():
                if not any([each.poll() for each in self._inputs]):
                    wake.poll(TURN_S * 1000)
        except Exception as error:  # its text could quote a key
            self._defect = f"key intake: defect {type(error).__name__}, no further key is taken"
            log.error("%s", self._defect)


def _log_or_fifo(path: str, take: Take) -> _Input:
    """What a path names decides; a file may come later, if there is where."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not Path(path).parent.is_dir():
            raise
        log.warning("key log %s: is not there yet, awaited", path)
        return KeyLog(path, take)
    warn_of_readers("key log", path)
    return KeyFifo(path, take) if stat.S_ISFIFO(mode) else KeyLog(path, take)
