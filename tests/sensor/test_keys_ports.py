"""Key logs that are sent: FIFO, unix datagrams, UDP; whoever sends them never waits for us."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensor.keybuffer import BUFFER_BYTES
from sensor.keyports import KeyDatagrams, KeyFifo, KeyUdp
from tests.sensor.test_keys_buffer import Taken


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def fifo(tmp_path: Path, taken: Taken) -> Iterator[KeyFifo]:
    fifo = KeyFifo(str(tmp_path / "keys.fifo"), taken)
    yield fifo
    fifo.close()


@pytest.fixture
def unix(tmp_path: Path, taken: Taken) -> Iterator[KeyDatagrams]:
    receiver = KeyDatagrams(str(tmp_path / "keys.sock"), taken)
    yield receiver
    receiver.close()


@pytest.fixture(params=["127.0.0.1:0", "[::1]:0"])
def udp(request: pytest.FixtureRequest, taken: Taken) -> Iterator[KeyUdp]:
    try:
        receiver = KeyUdp(request.param, taken)
    except OSError as error:
        pytest.skip(f"no such loopback address: {error.strerror}")
    yield receiver
    receiver.close()


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        yield sender


def udp_sender(udp: KeyUdp) -> socket.socket:
    host, _, port = udp.name.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.connect((host.strip("[]"), int(port)))
    return sender


def test_a_fifo_is_made_for_the_group(fifo: KeyFifo) -> None:
    mode = os.stat(fifo.name).st_mode
    assert stat.S_ISFIFO(mode) and stat.S_IMODE(mode) == 0o660


def test_writers_of_a_fifo_come_and_go(fifo: KeyFifo, taken: Taken) -> None:
    assert not fifo.poll()  # nobody there
    first = os.open(fifo.name, os.O_WRONLY | os.O_NONBLOCK)
    os.write(first, b"one\ntw")
    assert not fifo.poll() and taken.text == b"one\n"
    second = os.open(fifo.name, os.O_WRONLY | os.O_NONBLOCK)
    os.close(first)
    os.write(second, b"o\n")
    assert not fifo.poll() and taken.text == b"one\ntwo\n"
    os.write(second, b"the last has no end")
    os.close(second)
    assert not fifo.poll() and taken.text == b"one\ntwo\nthe last has no end"
    third = os.open(fifo.name, os.O_WRONLY | os.O_NONBLOCK)
    os.write(third, b"three\n")
    os.close(third)
    assert not fifo.poll() and taken.text.endswith(b"endthree\n")
    assert fifo.tally.read_bytes == len(taken.text)


def test_a_fifo_of_another_is_used_and_something_else_is_not(tmp_path: Path, taken: Taken) -> None:
    path = tmp_path / "theirs"
    os.mkfifo(path, 0o600)
    KeyFifo(str(path), taken).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    path.write_bytes(b"precious")
    with pytest.raises(OSError, match="is no FIFO"):
        KeyFifo(str(path), taken)
    assert path.read_bytes() == b"precious"


def test_a_writer_of_a_fifo_never_waits_for_the_core(fifo: KeyFifo, taken: Taken) -> None:
    taken.has_room = False
    writer = os.open(fifo.name, os.O_WRONLY | os.O_NONBLOCK)
    line = b"x" * 99 + b"\n"
    for _ in range(5000):  # BlockingIOError if the pipe, 64 KiB, were not emptied
        os.write(writer, line)
        fifo.poll()
    taken.has_room = True
    os.write(writer, b"after\n")
    fifo.poll()
    os.close(writer)
    assert taken.text == b"after\n"
    assert fifo.tally.shed_bytes == 5000 * 100


def test_each_datagram_is_whole(unix: KeyDatagrams, sender: socket.socket, taken: Taken) -> None:
    sender.connect(unix.name)
    sender.send(b"one\ntwo\n")
    sender.send(b"three")
    sender.send(b"")
    sender.send(b"four a 1|four b 2|\n")
    assert not unix.poll()
    assert taken.text == b"one\ntwo\nthreefour a 1\nfour b 2\n\n"
    assert unix.tally.cut_datagrams == unix.tally.shed_bytes == 0


def test_a_datagram_too_long_loses_its_end_and_is_counted(
    unix: KeyDatagrams, sender: socket.socket, taken: Taken
) -> None:
    sender.connect(unix.name)
    line = b"y" * 99 + b"\n"
    sender.send(line * (BUFFER_BYTES // 100 + 10))
    sender.send(b"next\n")
    unix.poll()
    assert unix.tally.cut_datagrams == 1
    assert taken.text == (line * (BUFFER_BYTES // 100 + 1))[:BUFFER_BYTES] + b"next\n"


def test_a_unix_socket_is_for_the_group_and_goes_with_the_sensor(
    tmp_path: Path, taken: Taken
) -> None:
    path = tmp_path / "keys.sock"
    receiver = KeyDatagrams(str(path), taken)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    receiver.close()
    assert not path.exists()


def test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(
    tmp_path: Path, taken: Taken
) -> None:
    path = tmp_path / "keys.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    first = KeyDatagrams(str(path), taken)
    with pytest.raises(OSError, match="Address already in use"):
        KeyDatagrams(str(path), taken)
    path.unlink()
    second = KeyDatagrams(str(path), taken)
    first.close()
    assert path.exists()  # it is the second one's now
    second.close()
    path.write_bytes(b"precious")
    with pytest.raises(OSError, match="is no socket"):
        KeyDatagrams(str(path), taken)
    assert path.read_bytes() == b"precious"


def test_keys_come_over_udp(udp: KeyUdp, taken: Taken) -> None:
    with udp_sender(udp) as sender:
        sender.send(b"one 1|two 2")
        sender.send(b"three\n")
        assert not udp.poll()
    assert taken.text == b"one 1\ntwo 2three\n"


def test_what_the_kernel_drops_is_counted(taken: Taken) -> None:
    udp = KeyUdp("127.0.0.1:0", taken)
    sent = 8000
    with udp_sender(udp) as sender:
        for _ in range(sent):
            sender.send(b"z" * 999 + b"\n")
        while udp.poll():
            pass
        dropped = udp.tally.dropped_datagrams
        sender.send(b"and one more\n")
        udp.poll()
    received = len(taken.text.splitlines())
    assert 0 < udp.tally.dropped_datagrams == sent + 1 - received >= dropped
    udp.close()


def test_a_flood_leaves_other_inputs_their_turn(taken: Taken) -> None:
    udp = KeyUdp("127.0.0.1:0", taken)
    with udp_sender(udp) as sender:
        for _ in range(200):
            sender.send(b"one\n")
    assert udp.poll()  # there is more
    assert len(taken.parts) < 200
    while udp.poll():
        pass
    assert len(taken.parts) == 200
    udp.close()
