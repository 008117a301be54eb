"""A receiver as a process of its own: started, killed in mid-stream, started again, read back.

A receiver says "listening PORT" on standard output once it does, and keeps what it took in a file.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.command import ROOT

START_S = 30.0
FLUENT = ROOT / ".venv" / "fluent" / "node_modules"


class Receiver:
    """`command` may have {port}: 0 at the first start, and the same port ever after."""

    def __init__(self, command: Sequence[str], store: Path) -> None:
        self.store = store
        self.port = 0
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Receiver":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGTERM)

    def start(self) -> None:
        command = [each.replace("{port}", str(self.port)) for each in self._command]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        self.port = int(self._line_of(self._process).split()[1])

    def kill(self) -> None:
        """As a power cut of the process: nothing is flushed, nothing said."""
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_S)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def cpu_s(self) -> float:
        assert self._process is not None
        return cpu_s(self._process.pid)

    def stored(self) -> Iterator[Any]:
        """What it took, a line each; a line that a kill cut is none."""
        if self.store.exists():
            with self.store.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield json.loads(line)

    @staticmethod
    def _line_of(process: "subprocess.Popen[bytes]") -> bytes:
        assert process.stdout is not None
        give_up_at = time.monotonic() + START_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while time.monotonic() < give_up_at:
                if selector.select(1.0):
                    line = process.stdout.readline()
                    assert line.startswith(b"listening "), f"the receiver ended: {process.args!r}"
                    return line
        raise AssertionError(f"the receiver did not start: {process.args!r}")


def cpu_s(process: int) -> float:
    """Processor time that it has used (proc(5): utime and stime)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def python(module: str, store: Path, **options: object) -> Receiver:
    """A receiver of this directory, `options` as its command line wants them."""
    command = [sys.executable, "-m", f"tests.exporters.receivers.{module}"]
    command += ["--port", "{port}", "--store", str(store)]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        command += [flag] if value is True else [flag, str(value)]
    return Receiver(command, store)


def fluent(store: Path, **options: Any) -> Receiver:
    """The server of npm's @fluent-org/logger."""
    if not FLUENT.is_dir():
        pytest.skip("npm did not install @fluent-org/logger (deploy/setup.sh test)")
    script = Path(__file__).parent / "fluent" / "server.js"
    given = {"modules": str(FLUENT), "store": str(store), **options}
    return Receiver(["node", str(script), json.dumps(given)], store)
