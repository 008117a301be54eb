"""`hoptap run` on an interface of a namespace, from its first packet to its last record."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.command import HOPTAP, Record, read_records
from tests.lab.namespaces import Namespace, wait_for

DURATION_S = 300  # ends the sensor even if the test that started it is stuck
STOP_TIMEOUT_S = 20


@dataclass(slots=True)
class LiveSensor:
    process: subprocess.Popen[str]
    out: Path
    log: Path

    def records(self) -> list[Record]:
        """The records written so far; a line that is being written does not count yet."""
        if not self.out.exists():
            return []
        whole, _, _ = self.out.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def stop(self) -> list[Record]:
        """Asks it to end, and returns every record it wrote."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_TIMEOUT_S)
        said = self.log.read_text()
        assert code == 0, f"exit code {code}\n{said}"
        assert "Traceback" not in said, said
        return read_records(self.out)


@contextmanager
def listening(
    host: Namespace, interface: str, config: Path, out: Path, workers: int = 1
) -> Iterator[LiveSensor]:
    """A sensor whose sockets receive already; `out` is what `config` names as its output."""
    log = out.with_suffix(".log")
    options = ["-i", interface, "-c", str(config), "--duration", str(DURATION_S)]
    with log.open("w") as file:
        process = host.start(HOPTAP, "run", *options, stdout=file, stderr=file)

    def receives() -> bool:
        assert process.poll() is None, log.read_text()
        return host.packet_sockets() >= workers

    wait_for(receives, f"{workers} packet sockets")
    yield LiveSensor(process, out, log)
    process.kill()
    process.wait()


@contextmanager
def tapping(host: Namespace, config: Path, out: Path, *options: str) -> Iterator[LiveSensor]:
    """The same of a sensor whose taps are attached; `options` name them, and interfaces."""
    log = out.with_suffix(".log")
    command = (HOPTAP, "run", *options, "-c", str(config), "--duration", str(DURATION_S))
    with log.open("w") as file:
        process = host.start(*command, stdout=file, stderr=file)

    def attached() -> bool:
        said = log.read_text()
        assert process.poll() is None, said
        return "tapping" in said

    wait_for(attached, "a tap")
    yield LiveSensor(process, out, log)
    process.kill()
    process.wait()
