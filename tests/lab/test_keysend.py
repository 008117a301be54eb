"""deploy/keysend.c in another process: its TLS secrets come to the socket, and nowhere else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensor.keyports import KeyDatagrams
from tests.command import ROOT
from tests.lab import keysend
from tests.sensor.test_keys_buffer import Taken

TIMEOUT_S = 60
# The client logs its secrets itself, which keysend.so leaves alone; the server's are the same ones.
TALKS = """
import sys
from pathlib import Path
from tests.conversation import Conversation
from tests.tls_talk import TlsTalk
TlsTalk(Path(sys.argv[1]), Conversation("10.0.0.1", 40000, "10.0.0.2"))
print("talked")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keysend.build(tmp_path_factory.mktemp("built"))


def talk(library: Path, directory: Path, to: str) -> None:
    environment = {"LD_PRELOAD": str(library), "KEYSEND_TO": to, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", TALKS, directory], cwd=ROOT, env=environment,
        capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"talked\n", b"")


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[tuple[Taken, KeyDatagrams]]:
    taken = Taken()
    receiver = KeyDatagrams(str(tmp_path / "keys.sock"), taken)
    yield taken, receiver
    receiver.close()


def test_a_process_sends_what_its_log_would_hold(
    library: Path, tmp_path: Path, taken: tuple[Taken, KeyDatagrams]
) -> None:
    lines, receiver = taken
    talk(library, tmp_path, receiver.name)
    receiver.poll()
    logged = (tmp_path / "keys.log").read_bytes().splitlines()[1:]  # after a comment
    assert len(logged) >= 5
    assert sorted(lines.parts) == sorted(logged)


@pytest.mark.parametrize("to", ["", "/no/such/socket", "/" + "x" * 200])
def test_a_process_goes_on_where_nobody_listens(library: Path, tmp_path: Path, to: str) -> None:
    talk(library, tmp_path, to)


def test_a_process_does_not_wait_for_one_that_does_not_read(
    library: Path, tmp_path: Path, taken: tuple[Taken, KeyDatagrams]
) -> None:
    """The kernel keeps some ten datagrams for it (net.unix.max_dgram_qlen); then they are lost."""
    _, receiver = taken
    for number in range(8):
        directory = tmp_path / str(number)
        directory.mkdir()
        talk(library, directory, receiver.name)
