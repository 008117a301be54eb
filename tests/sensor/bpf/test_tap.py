"""Taps on programs of several TLS libraries: what they said to each other, whole and in order."""

import os
import subprocess
from pathlib import Path

import pytest

from sensor.bpf import Tap, kernel
from sensor.bpf import tap as tap_module
from sensor.bpf.programs import RING_BYTES
from tests.lab.talkers import interleaved, peers
from tests.lab.talkers.client import text
from tests.lab.talkers.peers import Server, go_client, node, python, running, started
from tests.tap_ring import (
    ADDRESS,
    CLIENT,
    CLOSE,
    DATA,
    READ,
    SECRET,
    WRITTEN,
    Heard,
    Ring,
    lossless,
    opened,
)

pytestmark = pytest.mark.root

SIZES = (1, 300, 5000, 16384, 16385, 100_000)
ARGUMENTS = tuple(map(str, SIZES))
MIB = 1024 * 1024
PIECES_BYTES_MAX = 4 * MIB  # of one call: PIECES_MAX of tap.bpf.h


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go_client(tmp_path_factory.mktemp("go"))


def spoken(number: int, sizes: tuple[int, ...] = SIZES) -> tuple[bytes, bytes]:
    """What a client writes and reads on its connection of this number."""
    texts = [text(number, size) for size in sizes]
    written = b"".join(b"%d\n" % len(each) + each for each in texts)
    return written, b"".join(texts)


def test_a_connection_is_seen_whole(heard: Heard, server: Server) -> None:
    with started(*python("client", *ARGUMENTS)) as client, opened(client.pid) as tap:
        assert (tap.problem, tap.processes) == ("", [client.pid])
        client.speak(server.port)
        assert heard.said(tap) == [spoken(0)]
        events = heard.of(tap)
        assert {(event.role, event.late) for event in events} == {(CLIENT, 0)}
        [closed] = [event for event in events if event.kind == CLOSE]
        assert events[-1] == closed
        totals = [int.from_bytes(closed.data[at : at + 8], "little") for at in (0, 8)]
        assert totals == [len(each) for each in spoken(0)]
        assert [event.time_ns for event in events if event.direction == READ] == sorted(
            event.time_ns for event in events if event.direction == READ
        )
        assert lossless(tap)


def test_the_socket_is_told(heard: Heard, server: Server) -> None:
    with started(*python("client", "10")) as client, opened(client.pid) as tap:
        client.speak(server.port)
        told = [event for event in heard.of(tap) if event.kind == ADDRESS]
        assert len(told) == 1
        local, remote = told[0].data[:4], told[0].data[16:20]
        assert (local, remote) == (bytes((127, 0, 0, 1)),) * 2
        assert int.from_bytes(told[0].data[34:36], "big") == server.port
        assert int.from_bytes(told[0].data[36:38], "little") == 2  # AF_INET
        assert all(event.fd == told[0].fd > 2 for event in heard.of(tap))


def test_an_address_used_again_is_another_session(heard: Heard, server: Server) -> None:
    with started(*python("client", "10")) as client, opened(client.pid) as tap:
        for _ in range(5):
            client.speak(server.port)
        streams = heard.streams(tap)
        assert sorted(streams.values()) == [spoken(number, (10,)) for number in range(5)]
        assert len({generation for _, _, generation in streams}) == 5


def test_connections_interleaved_on_one_thread_are_told_apart(heard: Heard, server: Server) -> None:
    with started(*python("interleaved", *ARGUMENTS)) as client, opened(client.pid) as tap:
        client.speak(server.port)
        every = [spoken(number) for number in range(interleaved.CONNECTIONS)]
        assert heard.said(tap) == every
        assert lossless(tap)


def test_sessions_within_sessions_are_told_apart(heard: Heard, tmp_path: Path) -> None:
    """Of four on one thread, two speak through the other two, within the same call."""
    program = tmp_path / "nested"
    source = Path(peers.__file__).with_name("nested.c")
    command = ["gcc", "-Wall", "-Werror", "-o", str(program), str(source), "-lssl", "-lcrypto"]
    subprocess.run(command, check=True, timeout=60)
    with started(program, peers.certificate(tmp_path)) as client, opened(client.pid) as tap:
        client.speak("now")
        said = heard.said(tap)
        asked, answered = b"inner questioninner farewell", b"inner answer"
        inner = [(asked, answered), (answered, asked)]
        assert sorted(both for both in said if both in inner) == sorted(inner)
        [one, other] = [both for both in said if both not in inner]
        assert (one[0], one[1]) == (other[1], other[0])
        assert all(each.startswith(b"\x16\x03") for each in one)  # records of a handshake
        assert b"inner" not in b"".join(one)
        assert lossless(tap)


def test_node(heard: Heard, server: Server) -> None:
    with started(*node(*ARGUMENTS)) as client, opened(client.pid) as tap:
        assert tap.problem == ""
        client.speak(server.port)
        assert heard.said(tap) == [spoken(0)]


def test_go(heard: Heard, server: Server, go_program: Path) -> None:
    with started(go_program, *ARGUMENTS) as client, opened(client.pid) as tap:
        assert tap.problem == ""
        for _ in range(3):
            client.speak(server.port)
        assert heard.said(tap) == sorted(spoken(number) for number in (0, 1) * 3)
        told = {(event.role, event.late) for event in heard.of(tap) if event.kind == DATA}
        assert told == {(CLIENT, 0)}
        assert len([event for event in heard.of(tap) if event.kind == ADDRESS]) == 6
        assert lossless(tap)


@pytest.mark.parametrize("flags", [("-ldflags", "-s -w"), ("-buildmode", "pie")])
def test_go_without_symbols_or_position(
    heard: Heard, server: Server, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    program = go_client(tmp_path, *flags)
    with started(program, "100") as client, opened(client.pid) as tap:
        client.speak(server.port)
        assert heard.said(tap) == [spoken(0, (100,)), spoken(1, (100,))]


def test_gnutls(heard: Heard, server: Server, tmp_path: Path) -> None:
    library = peers.private(tmp_path, "libgnutls.so.30")
    with opened(library, machine_wide=True) as tap:
        talk = ["gnutls-cli", "--insecure", "-p", str(server.port), "127.0.0.1"]
        done = subprocess.run(
            talk, input=b"5\nabcde", env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert b"abcde" in done.stdout, done.stdout
        assert heard.said(tap) == [(b"5\nabcde", b"abcde")]
        told = {(event.role, event.late) for event in heard.of(tap) if event.kind == DATA}
        assert told == {(CLIENT, 0)}
        assert ADDRESS in {event.kind for event in heard.of(tap)}


def test_curl_and_openssl(heard: Heard, tmp_path: Path) -> None:
    """Both ends by a library of their own: s_server reads and writes through a BIO."""
    pem, library = peers.certificate(tmp_path), peers.private(tmp_path, "libssl.so.3")
    own = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    with opened(library, machine_wide=True) as tap:
        command = [
            "openssl",
            "s_server",
            "-accept",
            "0",
            "-naccept",
            "1",
            "-cert",
            str(pem),
            "-www",
        ]
        with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) as serving:
            assert serving.stdout is not None
            port = next(line for line in serving.stdout if "ACCEPT" in line).split(":")[-1].strip()
            done = subprocess.run(
                ["curl", "-sk", f"https://127.0.0.1:{port}/"],
                env=own, capture_output=True, timeout=30, check=True,
            )  # fmt: skip
            serving.wait(30)
        streams = {pid: both for (pid, _, _), both in heard.streams(tap).items()}
        server = streams.pop(serving.pid)
        [client] = streams.values()
        assert client == (server[1], server[0])
        assert client[0].startswith(b"GET / HTTP/1.1\r\n")
        assert client[1].endswith(done.stdout)


def test_a_process_that_speaks_already(heard: Heard, server: Server, tmp_path: Path) -> None:
    """Its side and its socket are found without the beginning."""
    talk = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{server.port}"]
    with running(*talk) as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(b"3\nabc")
        client.stdin.flush()
        assert client.stdout.read(3) == b"abc"
        with opened(client.pid) as tap:
            client.stdin.write(b"4\nefgh")
            client.stdin.flush()
            assert client.stdout.read(4) == b"efgh"
            assert heard.said(tap) == [(b"4\nefgh", b"efgh")]
            data = [event for event in heard.of(tap) if event.kind == DATA]
            assert {(event.role, event.late) for event in data} == {(CLIENT, 1)}
            assert data[-1].fd > 2


def test_a_long_write_has_its_end_cut_and_says_so(heard: Heard, server: Server) -> None:
    sizes = (MIB, PIECES_BYTES_MAX + MIB, 10)
    with started(*python("client", *map(str, sizes))) as client, opened(client.pid) as tap:
        client.speak(server.port)
        stream, gaps, at = bytearray(), 0, 0
        for event in heard.of(tap):
            if (event.kind, event.direction) == (DATA, WRITTEN):
                gaps += event.offset - at
                stream += bytes(event.offset - at) + event.data
                at = event.offset + event.size
        written = spoken(0, sizes)[0]
        assert gaps == MIB
        assert [a for a, b in zip(stream, written, strict=True) if a != b] == [0] * MIB
        lost = {name: count for name, count in tap.losses().items() if count}
        assert lost == {"long_events": 1, "long_bytes": MIB}


def test_what_the_ring_cannot_hold_is_counted(heard: Heard, server: Server) -> None:
    sizes = (RING_BYTES // 8,) * 12
    with started(*python("client", *map(str, sizes))) as client, opened(client.pid) as tap:
        client.speak(server.port)
        data = [event for event in heard.of(tap) if event.kind == DATA]
        losses, both = tap.losses(), spoken(0, sizes)
        assert losses["ring_bytes"] > 0
        assert sum(event.size for event in data) + losses["ring_bytes"] == sum(map(len, both))
        assert sum(losses.values()) == losses["ring_bytes"] + losses["ring_events"]
        for event in data:  # what was lost between them shifts none
            assert both[event.direction][event.offset :].startswith(event.data)


SECRETS = {
    "TLSv1_3": {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"},
    "TLSv1_2": {"CLIENT_RANDOM"},
}  # fmt: skip


def lines_of(heard: Heard, tap: Tap) -> set[bytes]:
    assert {event.kind for event in heard.of(tap)} == {SECRET}
    return {event.data for event in heard.of(tap)}


@pytest.mark.parametrize("version", SECRETS)
def test_secrets_are_those_that_openssl_would_log(
    heard: Heard, server: Server, tmp_path: Path, version: str
) -> None:
    log = tmp_path / "keys.log"
    environment = {"TAPPED_TLS": version, "TAPPED_KEYS": str(log)}
    program = python("client", "10")
    with started(*program, **environment) as client, opened(client.pid, "keys") as tap:
        client.speak(server.port)
        lines = lines_of(heard, tap)
        assert lines == set(log.read_bytes().splitlines()[1:])  # after a comment
        assert {line.split()[0].decode() for line in lines} >= SECRETS[version]


def test_secrets_without_a_log(heard: Heard, server: Server) -> None:
    """The library would log them if it were asked to; here nobody asks."""
    with started(*python("client", "10")) as client, opened(client.pid, "keys") as tap:
        client.speak(server.port)
        labels = {line.split()[0].decode() for line in lines_of(heard, tap)}
        assert labels >= SECRETS["TLSv1_3"]


def test_secrets_of_node(heard: Heard, server: Server, tmp_path: Path) -> None:
    secrets_as_logged(heard, server, tmp_path, *node("10"))


def test_secrets_of_go(heard: Heard, server: Server, tmp_path: Path, go_program: Path) -> None:
    secrets_as_logged(heard, server, tmp_path, go_program, "10")


def secrets_as_logged(heard: Heard, server: Server, directory: Path, *command: str | Path) -> None:
    log = directory / "keys.log"
    with started(*command, TAPPED_KEYS=str(log)) as client, opened(client.pid, "keys") as tap:
        assert tap.problem == ""
        client.speak(server.port)
        assert lines_of(heard, tap) == set(log.read_bytes().splitlines())


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_secrets_of_gnutls(heard: Heard, server: Server, tmp_path: Path, version: str) -> None:
    library, log = peers.private(tmp_path, "libgnutls.so.30"), tmp_path / "keys.log"
    own = {"LD_LIBRARY_PATH": str(tmp_path), "SSLKEYLOGFILE": str(log)}
    with opened(library, "keys", machine_wide=True) as tap:
        priority = f"NORMAL:-VERS-ALL:+VERS-TLS{version}"
        talk = ["gnutls-cli", "--insecure", "--priority", priority, "-p", str(server.port)]
        subprocess.run(
            [*talk, "127.0.0.1"], input=b"", env=os.environ | own,
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert lines_of(heard, tap) == set(log.read_bytes().splitlines())


@pytest.mark.usefixtures("heard")
def test_before_linux_6_10(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place has a link of its own there; this kernel can do that as well."""
    monkeypatch.setattr(kernel, "has_multi", lambda: False)
    monkeypatch.setattr(tap_module, "_shared", tap_module._Shared())
    with (
        started(*python("client", "10", "1000")) as client,
        opened(client.pid) as tap,
        Ring(tap.ring_fd, RING_BYTES) as ring,
    ):
        client.speak(server.port)
        assert Heard(ring).said(tap) == [spoken(0, (10, 1000))]
