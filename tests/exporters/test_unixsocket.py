"""Documents to a unix socket, a stream or datagrams."""

import json
import socket
import threading
from pathlib import Path

import msgpack
import pytest

from exporters.formats.format import Format
from exporters.outbox import SinkError
from exporters.unixsocket import UnixSocket
from tests.lab.manyrecords import many

HOP = Format("hop", dict)
MSGPACK = Format("msgpack", dict)
LINE = Format("line", lambda tree: f"id={tree['id']}", is_text=True, preamble="#fields\tid\n")
RECORDS = many(2000)


class Reader:
    """Everything that one connection brings, read in a thread until its end."""

    def __init__(self, path: Path) -> None:
        self.got = bytearray()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        self._listener.close()
        with connection:
            while chunk := connection.recv(1 << 16):
                self.got += chunk

    def all(self) -> bytes:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return bytes(self.got)


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "s"
    reader = Reader(path)
    sink = UnixSocket(str(path), HOP)
    assert sink.probe() == f"unix {path}: connected to a stream socket"
    assert not sink.send(RECORDS[:1000]) and not sink.send(RECORDS[1000:])
    sink.close()
    assert [json.loads(line) for line in reader.all().splitlines()] == RECORDS


def test_objects_of_msgpack(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "s")
    sink = UnixSocket(str(tmp_path / "s"), MSGPACK)
    sink.send(RECORDS)
    sink.close()
    unpacker = msgpack.Unpacker()
    unpacker.feed(reader.all())
    assert list(unpacker) == RECORDS


def test_lines_with_a_preamble(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "s")
    sink = UnixSocket(str(tmp_path / "s"), LINE)
    sink.send(RECORDS[:2])
    sink.close()
    assert reader.all().decode() == "#fields\tid\n" + "".join(
        f"id={record['id']}\n" for record in RECORDS[:2]
    )


def test_datagrams_are_found_out_and_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "s"
    got = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(10)
        sink = UnixSocket(str(path), HOP)
        assert sink.probe() == f"unix {path}: connected to a datagram socket"
        sender = threading.Thread(target=sink.send, args=(RECORDS,))
        sender.start()
        for _ in RECORDS:
            got.append(json.loads(listener.recv(1 << 16)))
        sender.join(10)
        sink.close()
    assert got == RECORDS


def test_a_datagram_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "s"))
        sink = UnixSocket(str(tmp_path / "s"), HOP)
        long = {**RECORDS[0], "fault": "x" * 1_000_000}
        [refused] = sink.send([RECORDS[0], long, RECORDS[1]])
        assert (refused.index, refused.reason) == (1, f"{refused.reason.split()[0]} bytes, "
                                                      "Message too long")  # fmt: skip
        assert [json.loads(listener.recv(1 << 16)) for _ in range(2)] == RECORDS[:2]
        sink.close()


def test_why_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "s"
    sink = UnixSocket(str(path), HOP, timeout_s=0.2)
    with pytest.raises(SinkError, match=f"unix {path}: no such file or directory"):
        sink.send(RECORDS[:1])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    # It accepts, and never reads.
    with pytest.raises(SinkError, match=f"unix {path}: no answer in time"):
        sink.send(RECORDS)
    listener.close()
    with pytest.raises(SinkError, match=f"unix {path}: connection refused"):
        sink.send(RECORDS[:1])


def test_a_listener_that_comes_back_gets_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "s"
    sink = UnixSocket(str(path), HOP)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        sink.send(RECORDS[:1])
        connection, _ = listener.accept()
        assert json.loads(connection.recv(1 << 16)) == RECORDS[0]
        connection.close()
    with pytest.raises(SinkError, match="the receiver closed the connection"):
        sink.send(RECORDS[1:2])
    path.unlink()
    reader = Reader(path)
    sink.send(RECORDS[1:2])
    sink.close()
    assert json.loads(reader.all()) == RECORDS[1]
