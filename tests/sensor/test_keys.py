"""From wherever keys come to the core itself: soon, whole, once; and to nowhere else."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from sensor import _core, keys
from sensor.exits import ConfigError
from sensor.keybuffer import Tally
from sensor.keys import KeyIntake, add_logs, add_rsa_key, lines_most
from sensor.metric_help import KEY_HELP, KEY_INPUTS
from sensor.settings import KeySettings
from tests.command import ROOT
from tests.sensor.core_events import limits

PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
TIMEOUT_S = 20.0


def line(number: int) -> bytes:
    return b"CLIENT_RANDOM %064x %096x\n" % (number, number)


@dataclass
class IdleCore:
    """Two workers that wait for packets from a pipe; what they know of secrets."""

    sources: list[_core.Source]

    def fill(self) -> None:
        for source in self.sources:
            source.fill(1)

    def counted(self, name: str) -> list[int]:
        return [source.counters()[f"tls_secrets_{name}"] for source in self.sources]

    def wait_for(self, name: str, count: int) -> float:
        """Seconds until each worker has counted as many."""
        begun = time.monotonic()
        while self.counted(name) != [count] * len(self.sources):
            self.fill()
            assert time.monotonic() - begun < TIMEOUT_S, (name, self.counted(name))
        return time.monotonic() - begun


@pytest.fixture
def core(tmp_path: Path) -> Iterator[IdleCore]:
    pipe = tmp_path / "packets"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, PCAP_HEADER * 2)
    sources = [
        _core.Source(_core.Interest(), limits(), files=(str(pipe),), decrypt=True) for _ in range(2)
    ]
    yield IdleCore(sources)
    for source in sources:
        source.close()
    os.close(writer)


Open = Callable[..., KeyIntake]


@pytest.fixture
def opened(core: IdleCore) -> Iterator[Open]:
    """Opens intakes that end with the test."""
    intakes: list[KeyIntake] = []

    def open_one(**settings: object) -> KeyIntake:
        intake = KeyIntake(KeySettings(decrypt=True, **settings), core.sources)  # type: ignore[arg-type]
        intakes.append(intake)
        intake.start()
        return intake

    yield open_one
    for intake in intakes:
        intake.close()


def test_what_is_counted_is_known_to_the_metrics(opened: Open, tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    log.touch(0o600)
    intake = opened(
        logs=(str(log),), fifo=(str(tmp_path / "f"),), unix=str(tmp_path / "u"), udp="127.0.0.1:0"
    )
    assert tuple(field.name for field in fields(Tally)) == tuple(KEY_HELP)
    assert tuple(intake.tallies()) == KEY_INPUTS
    for counts in intake.tallies().values():
        assert counts == dict.fromkeys(KEY_HELP, 0)


def test_a_key_is_soon_in_every_worker(core: IdleCore, opened: Open, tmp_path: Path) -> None:
    log, fifo, unix = (tmp_path / name for name in ("keys.log", "keys.fifo", "keys.sock"))
    log.touch(0o600)
    intake = opened(logs=(str(log),), fifo=(str(fifo),), unix=str(unix), udp="127.0.0.1:0")
    waits = []
    with log.open("ab") as file:
        file.write(line(1))
    waits.append(core.wait_for("taken", 1))
    with fifo.open("wb") as file:
        file.write(line(2))
    waits.append(core.wait_for("taken", 2))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(line(3), str(unix))
        waits.append(core.wait_for("taken", 3))
    [name] = [each.name for each in intake._inputs if each.kind == "udp"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(line(4)[:-1] + b"|" + line(5), ("127.0.0.1", int(name.rpartition(":")[2])))
        waits.append(core.wait_for("taken", 5))
    assert max(waits) < 10 * keys.TURN_S  # 2 turns, on a machine that does other things too
    assert core.counted("malformed") == [0, 0]
    assert [each["read_bytes"] for each in intake.tallies().values()] == [
        len(line(0)), len(line(0)), len(line(0)), 2 * len(line(0)),
    ]  # fmt: skip
    assert intake.problem() == ""


def test_what_is_no_key_is_counted(core: IdleCore, opened: Open, tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    log.write_bytes(b"# comment\nCLIENT_RANDOM 00 zz\nno key\n" + line(1) + b"\xff\x00\n" + line(2))
    log.chmod(0o600)
    opened(logs=(str(log),))
    core.wait_for("taken", 2)
    core.wait_for("malformed", 3)
    core.wait_for("ignored", 1)


def test_a_million_lines_of_others_are_taken_in_bounded_time(
    core: IdleCore, opened: Open, tmp_path: Path
) -> None:
    log = tmp_path / "keys.log"
    with log.open("wb") as file:
        for start in range(0, 1_000_000, 10_000):
            file.write(b"".join(map(line, range(start, start + 10_000))))
    log.chmod(0o600)
    begun = time.monotonic()
    opened(logs=(str(log),))
    core.wait_for("taken", 1_000_000)
    elapsed_s = time.monotonic() - begun
    # What a second costs does not depend on how many are known already.
    with log.open("ab") as file:
        file.write(b"".join(map(line, range(1_000_000, 1_010_000))))
    assert core.wait_for("taken", 1_010_000) < max(1.0, elapsed_s / 10)
    assert core.counted("forgotten") == [1_010_000 - limits()["tls_secrets_max"]] * 2


def test_a_pipe_named_as_a_log_is_read_as_one(core: IdleCore, opened: Open, tmp_path: Path) -> None:
    pipe = tmp_path / "keys.log"
    os.mkfifo(pipe, 0o600)
    intake = opened(logs=(str(pipe),))
    pipe.write_bytes(line(1))
    core.wait_for("taken", 1)
    assert list(intake.tallies()) == ["fifo"]


def test_what_cannot_be_opened_is_said_at_once_in_a_line_each(
    core: IdleCore, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        used = f"127.0.0.1:{other.getsockname()[1]}"
        settings = KeySettings(
            decrypt=True,
            logs=(str(tmp_path), "/no/such/keys.log", str(tmp_path / "later.log")),
            fifo=("/no/such/fifo",),
            unix=str(tmp_path),
            udp=used,
        )
        with pytest.raises(ConfigError) as caught:
            KeyIntake(settings, core.sources)
    assert caught.value.lines == (
        f"key log {tmp_path}: is no file",
        "key log /no/such/keys.log: No such file or directory",
        "FIFO /no/such/fifo: No such file or directory",
        f"keys.unix {tmp_path}: is no socket",
        f"keys.udp {used}: Address already in use",
    )


def test_a_log_that_turns_unreadable_shows_in_readiness(
    core: IdleCore, opened: Open, tmp_path: Path
) -> None:
    log = tmp_path / "keys.log"
    log.touch(0o600)
    intake = opened(logs=(str(log),))
    log.unlink()
    log.mkdir()
    deadline = time.monotonic() + TIMEOUT_S
    while not intake.problem():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert intake.problem() == f"key log {log}: is no file"
    log.rmdir()
    log.write_bytes(line(1))
    core.wait_for("taken", 1)
    while intake.problem():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_replay_has_every_key_before_the_first_packet(core: IdleCore, tmp_path: Path) -> None:
    logs = [tmp_path / name for name in ("a.log", "b.log")]
    for number, log in enumerate(logs):
        log.write_bytes(b"".join(map(line, range(number * 1000, number * 1000 + 1000))))
    add_logs(map(str, logs), core.sources)
    core.fill()
    assert core.counted("taken") == [2000, 2000]
    assert 2000 <= lines_most(map(str, logs)) <= 2400
    assert lines_most(["/no/such", str(tmp_path)]) == 0


def test_a_log_that_a_replay_cannot_read_is_one_line(core: IdleCore, tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a dir")):
        with pytest.raises(ConfigError, match=f"^key log {path}: {reason}"):
            add_logs([str(path)], core.sources)


def test_others_that_may_read_a_log_are_a_warning(
    core: IdleCore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "keys.log"
    log.write_bytes(line(1))
    for mode, warned in ((0o600, False), (0o640, False), (0o644, True)):
        caplog.clear()
        log.chmod(mode)
        add_logs([str(log)], core.sources)
        said = [f"key log {log}: others on this machine may read it; chmod o-r {log}"]
        assert caplog.messages == said * warned


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "not a private key in PEM without passphrase"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"),
        (b"x" * 1_000_000, "not a private key"),
    ],
)
def test_what_is_no_rsa_key_is_one_line(
    core: IdleCore, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "server.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^RSA key {path}: {reason}"):
        add_rsa_key(str(path), core.sources)


READS_KEYS = """
import sys
from sensor import _core, keys
from tests.sensor.core_events import limits
source = _core.Source(_core.Interest(), limits(), files=("/dev/null",), decrypt=True)
keys.add_logs([sys.argv[1]], [source])
source.fill(1)
assert source.counters()["tls_secrets_taken"] == 1
source.close()
"""
KEEPS_THE_TEXT = "import sys; kept = open(sys.argv[1]).read()"


@pytest.mark.parametrize(("program", "stays"), [(READS_KEYS, False), (KEEPS_THE_TEXT, True)])
def test_nothing_of_a_key_stays_in_memory(tmp_path: Path, program: str, stays: bool) -> None:
    log = tmp_path / "keys.log"
    secret = os.urandom(48)
    log.write_bytes(b"CLIENT_RANDOM %064x %s\n" % (7, secret.hex().encode()))
    program += "\nprint('done', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(log)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == b"done\n"
            content = memory_of(process.pid)
        finally:
            process.stdin.close()
    assert (secret.hex().encode() in content) is stays
    assert secret not in content


def memory_of(pid: int) -> bytes:
    """Everything that a process of ours could have written to."""
    parts = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for each in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = each.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if rights.startswith("rw"):
                memory.seek(start)
                with suppress(OSError):  # [vvar] and the like
                    while start < end and (part := memory.read(end - start)):
                        parts.append(part)
                        start += len(part)
    return b"".join(parts)
