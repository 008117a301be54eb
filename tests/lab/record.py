"""Makes a capture of tests/captures again: real clients, against a real server where one installs.

python -m tests.lab.record NAME [--python VENV/bin/python]      needs root, tcpdump and zstd

NAME is a module of tests/lab/recordings. The clients come from PyPI and Debian; `--python` is an
interpreter that has them, since the tests need what was recorded only. Each module says in its
first lines what is real.
"""

import argparse
import gzip
import importlib
import subprocess
import tempfile
import time
from pathlib import Path
from types import ModuleType

from tests.lab.namespaces import SERVER_INTERFACE, Wire, open_wire, wait_for

CAPTURES = Path(__file__).parents[1] / "captures"
SETTLE_S = 0.5  # what is still on the way to tcpdump
START_TIMEOUT_S = 30


class Recorder:
    """What a recording gets: both hosts, where to put files, and its clients' interpreter."""

    def __init__(self, wire: Wire, directory: Path, python: str) -> None:
        self.wire, self.directory, self.python = wire, directory, python

    def serve(self, *command: str, port: int) -> None:
        """Starts a server on the server's host and waits until it listens."""
        self.wire.server.start(*command, stderr=(self.directory / "server.log").open("w"))
        wait_for(lambda: self._listens(port), f"port {port}", START_TIMEOUT_S)

    def imitate(self, name: str, port: int, *arguments: str) -> None:
        """Serves the imitation that a recording's `answer` is."""
        module = ("-m", "tests.lab.recordings.imitation", name, str(port), *arguments)
        self.serve(self.python, *module, port=port)

    def _listens(self, port: int) -> bool:
        return bool(self.wire.server.run("ss", "-Hltn", f"sport = :{port}").strip())

    def ask(self, script: str, *arguments: str) -> str:
        """Runs a client's script, beside the recording that names it, on the client's host."""
        path = Path(__file__).parent / "recordings" / script
        return self.wire.client.run(self.python, str(path), *arguments)


def record(module: ModuleType, python: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as directory, open_wire(offloads=False) as wire:
        recorder = Recorder(wire, Path(directory), python)
        module.serve(recorder)
        packets = Path(directory) / "capture.pcap"
        arguments = (
            "-i",
            SERVER_INTERFACE,
            "--immediate-mode",
            "-U",
            "-s",
            "0",
            "-w",
            str(packets),
            "tcp",
        )
        tcpdump = wire.server.start("tcpdump", *arguments, stderr=subprocess.DEVNULL)
        wait_for(lambda: wire.server.packet_sockets() > 0, "tcpdump")
        module.ask(recorder)
        time.sleep(SETTLE_S)
        tcpdump.terminate()
        tcpdump.wait()
        target.mkdir(exist_ok=True)
        packets.chmod(0o644)
        packed = target / "capture.pcap.zst"
        subprocess.run(["zstd", "-19", "-q", "-f", str(packets), "-o", str(packed)], check=True)
        keys = Path(directory) / "keys.log"
        if keys.exists():
            (target / "keys.log.gz").write_bytes(gzip.compress(keys.read_bytes(), mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--python", default="python3")
    parser.add_argument("--target", type=Path)
    options = parser.parse_args()
    module = importlib.import_module(f"tests.lab.recordings.{options.name.replace('-', '_')}")
    record(module, options.python, options.target or CAPTURES / options.name)


if __name__ == "__main__":
    main()
