"""RELP against peers that misbehave on purpose; tests/lab has the real ones."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.endpoint import Endpoint
from exporters.formats.format import Format
from exporters.formats.rfc5424 import RFC5424
from exporters.outbox import SinkError
from exporters.relp import TXNR_MAX, WINDOW, Frame, Frames, NoRelp, Relp, Session
from tests.lab.manyrecords import many

RECORDS = many(600)
FRAME = re.compile(rb"(\d+) (open|syslog|close) (\d+)(?: |\n)")


class Peer:
    """The receiver's end of one connection, by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        # An answer that waits for others would be lost in the reset of a peer that just goes.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""

    def frame(self) -> tuple[int, bytes, bytes]:
        """Number, command and data of the next frame; (0, b"", b"") at the end."""
        while (found := FRAME.match(self._held)) is None or len(self._held) < self._end(found):
            chunk = self.connection.recv(1 << 16)
            if not chunk:
                return 0, b"", b""
            self._held += chunk
        end = self._end(found)
        data = self._held[found.end() : found.end() + int(found[3])]
        assert self._held[end - 1 : end] == b"\n"
        self._held = self._held[end:]
        return int(found[1]), found[2], data

    def quiet(self) -> bool:
        """Nothing more comes for a while."""
        self.connection.settimeout(0.1)
        try:
            return not self._held and not self.connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.connection.settimeout(10)

    def answer(self, number: int, said: bytes = b"200 OK") -> None:
        self.connection.sendall(b"%d rsp %d %b\n" % (number, len(said), said))

    def open(self) -> None:
        number, command, offers = self.frame()
        assert command == b"open" and b"relp_version=0" in offers and b"commands=syslog" in offers
        self.answer(number, b"200 OK\nrelp_version=0\ncommands=syslog")

    @staticmethod
    def _end(found: re.Match[bytes]) -> int:
        size = int(found[3])
        return found.end() + size + 1 if size else found.end()


@contextmanager
def peer(act: Callable[[Peer], None], ack_timeout_s: float = 10) -> Iterator[Relp]:
    """A transport whose receiver acts as told, on one connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    failed: list[BaseException] = []

    def run() -> None:
        connection, _ = listener.accept()
        connection.settimeout(10)
        with connection:
            try:
                act(Peer(connection))
            except BaseException as error:
                failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    relp = Relp(Endpoint("127.0.0.1", listener.getsockname()[1], 5, ack_timeout_s), RFC5424)
    try:
        yield relp
    finally:
        relp.close()
        listener.close()
        thread.join(10)
    assert failed == []


def error_of(relp: Relp) -> SinkError:
    with pytest.raises(SinkError) as caught:
        relp.send(RECORDS)
    assert re.match(r"relp 127\.0\.0\.1:\d+: ", str(caught.value))
    return caught.value


def reason_of(error: SinkError) -> str:
    return str(error).partition(": ")[2]


def test_all_are_acknowledged_and_the_end_is_orderly() -> None:
    got: list[bytes] = []
    ended: list[bytes] = []

    def act(receiver: Peer) -> None:
        receiver.open()
        while True:
            number, command, data = receiver.frame()
            if command != b"syslog":
                break
            got.append(data)
            receiver.answer(number)
        ended.append(command)
        receiver.connection.sendall(b"%d rsp 0\n0 serverclose 0\n" % number)

    with peer(act) as relp:
        assert relp.send(RECORDS) == []
    assert len(set(got)) == len(RECORDS)
    assert ended == [b"close"]


def test_no_more_than_a_window_is_on_its_way() -> None:
    def act(receiver: Peer) -> None:
        receiver.open()
        numbers = [receiver.frame()[0] for _ in range(WINDOW)]
        assert receiver.quiet()
        half = WINDOW // 2
        for number in numbers[:half]:
            receiver.answer(number)
        numbers += [receiver.frame()[0] for _ in range(half)]
        assert receiver.quiet()
        for number in numbers[half:]:
            receiver.answer(number)
        while (number := receiver.frame()[0]) != 0:
            receiver.answer(number)

    with peer(act) as relp:
        relp.send(RECORDS)


@pytest.mark.parametrize(
    ("answered", "written"),
    [([], 0), ([0, 1, 2], 3), ([2, 1], 0), ([0, 2, 3], 1), ([1, 0, 2], 3)],
)
def test_written_is_what_was_acknowledged(answered: list[int], written: int) -> None:
    def act(receiver: Peer) -> None:
        receiver.open()
        numbers = [receiver.frame()[0] for _ in range(4)]
        for index in answered:
            receiver.answer(numbers[index])

    with peer(act) as relp:
        error = error_of(relp)
    assert (error.written, error.final) == (written, False)
    assert reason_of(error) == "the receiver closed the connection"


def test_a_refused_message_is_no_written_one() -> None:
    def act(receiver: Peer) -> None:
        receiver.open()
        numbers = [receiver.frame()[0] for _ in range(4)]
        for number, said in zip(numbers, [b"200 OK", b"500 bad", b"200 OK", b"200"], strict=True):
            receiver.answer(number, said)

    with peer(act) as relp:
        assert error_of(relp).written == 1


def test_refused_messages_are_named() -> None:
    def act(receiver: Peer) -> None:
        receiver.open()
        index = 0
        while (number := receiver.frame()[0]) != 0:
            receiver.answer(number, b"500 no\x1b[2J room\nx" if index % 100 == 7 else b"200 OK")
            index += 1

    with peer(act) as relp:
        refused = relp.send(RECORDS)
    assert [each.index for each in refused] == [7, 107, 207, 307, 407, 507]
    assert {each.reason for each in refused} == {"500 no [2J room"}


def test_a_message_that_is_too_long_is_not_sent() -> None:
    got: list[bytes] = []

    def act(receiver: Peer) -> None:
        receiver.open()
        while (frame := receiver.frame())[0] != 0:
            got.append(frame[2])
            receiver.answer(frame[0])

    with peer(act) as relp:
        documents = Relp(relp._endpoint, Format("hop", dict))
        long = {**RECORDS[1], "fault": "x" * 9000}
        [refused] = documents.send([RECORDS[0], long, RECORDS[2]])
        documents.close()
    assert refused.index == 1
    assert refused.reason.endswith("bytes, and a message holds 8192")
    assert len(got) == 3 and got[2] == b""  # two messages and the close


def test_a_receiver_that_never_acknowledges() -> None:
    released = threading.Event()

    def act(receiver: Peer) -> None:
        receiver.open()
        for _ in range(WINDOW):
            receiver.frame()
        released.wait(10)

    with peer(act, ack_timeout_s=0.3) as relp:
        error = error_of(relp)
        released.set()
    assert reason_of(error) == "no acknowledgement within 0.3 s"
    assert (error.written, error.final) == (0, False)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"220 mail.example.org ESMTP\r\n", "what answers there does not talk RELP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there does not talk RELP"),
        (b"1 rsp 99999999 x", "what answers there does not talk RELP"),
        (b"1 rsp 7 500 off\n", "the receiver takes no syslog: 500 off"),
        (b"1 rsp 24 200 OK\ncommands=eventlog\n", "the receiver takes no syslog: 200 OK"),
        (b"0 serverclose 0\n", "the receiver takes no syslog: serverclose"),
        (b"", "the receiver closed the connection"),
    ],
)
def test_what_may_answer_the_opening(said: bytes, reason: str) -> None:
    def act(receiver: Peer) -> None:
        receiver.frame()
        receiver.connection.sendall(said)

    with peer(act) as relp:
        assert reason_of(error_of(relp)) == reason


def test_an_answer_to_nothing() -> None:
    def act(receiver: Peer) -> None:
        receiver.open()
        receiver.frame()
        receiver.answer(4711)

    with peer(act) as relp:
        assert reason_of(error_of(relp)) == "what answers there does not talk RELP"


def test_the_receiver_says_that_it_closes() -> None:
    def act(receiver: Peer) -> None:
        receiver.open()
        receiver.answer(receiver.frame()[0])
        receiver.connection.sendall(b"0 serverclose 0\n")

    with peer(act) as relp:
        error = error_of(relp)
    assert (error.written, reason_of(error)) == (1, "the receiver closed the connection")


def test_probe_says_what_the_receiver_said() -> None:
    with peer(Peer.open) as relp:
        assert relp.probe().endswith(": 200 OK")


def test_numbers_start_again_at_one() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        session = Session(ours)
        session._transaction = TXNR_MAX - 1
        assert session.syslog(b"a") == (999_999_999, b"999999999 syslog 1 a\n")
        assert session.syslog(b"b\nc") == (1, b"1 syslog 3 b\nc\n")


ANSWERS = [
    (b"1 rsp 6 200 OK\n", Frame(1, "rsp", b"200 OK")),
    (b"2 rsp 0\n", Frame(2, "rsp", b"")),
    (b"3 rsp 0 \n", Frame(3, "rsp", b"")),
    (b"999999999 rsp 9 500 a\nb\n \n", Frame(999_999_999, "rsp", b"500 a\nb\n ")),
    (b"0 serverclose 0\n", Frame(0, "serverclose", b"")),
]


@given(st.lists(st.sampled_from(ANSWERS), max_size=6), st.data())
def test_frames_at_any_split(answers: list[tuple[bytes, Frame]], data: st.DataObject) -> None:
    text = b"".join(wire for wire, _ in answers)
    frames, at = Frames(), 0
    found: list[Frame] = []
    while at < len(text):
        size = data.draw(st.integers(1, len(text) - at))
        found += frames.feed(text[at : at + size])
        at += size
    assert found == [frame for _, frame in answers]


@given(st.binary(max_size=80))
def test_any_bytes_are_frames_or_no_relp(chunk: bytes) -> None:
    try:
        for frame in Frames().feed(chunk):
            assert chunk.count(b"\n") and frame.data in chunk
    except NoRelp:
        pass
