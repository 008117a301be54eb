"""RELP: syslog messages that the receiver acknowledges one by one (librelp, doc/relp.html).

Invariant: `written` of an error counts messages that were acknowledged, and nothing else.
"""

import errno
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from exporters.endpoint import READ_BYTES, Endpoint, close_gently, connect, failure
from exporters.formats import rfc5424
from exporters.formats.format import Format
from exporters.outbox import SinkError
from exporters.payload import one_line
from exporters.syslog import Messages
from exporters.transport import Refused, Tree

WINDOW = 128  # messages on their way at once; that of librelp
TXNR_MAX = 999_999_999  # nine digits; then 1 again
OFFERS = b"relp_version=0\nrelp_software=hoptap\ncommands=syslog"
ANSWER_BYTES_MAX = 1 << 16
OK = 200

_HEAD = re.compile(rb"(\d{1,9}) ([a-z]{1,32}) (\d{1,9})([ \n])")
_HEAD_BYTES_MAX = 9 + 1 + 32 + 1 + 9 + 1
_START = re.compile(rb"\d{0,9}( ([a-z]{1,32}( (\d{1,9}([ \n].*)?)?)?)?)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Frame:
    transaction: int
    command: str
    data: bytes

    @property
    def status(self) -> int:
        """Of a response; 0 for anything else."""
        code = self.data[:3]
        return int(code) if self.command == "rsp" and code.isdigit() else 0

    @property
    def said(self) -> str:
        return one_line(self.data.partition(b"\n")[0].decode("utf-8", "replace"))


class NoRelp(Exception):
    """What came is no frame of RELP."""


class Frames:
    """Frames out of a stream of bytes."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        self._held += chunk
        at = 0
        while (found := _HEAD.match(self._held, at)) is not None:
            size = int(found[3])
            # LEN 0 has no space behind it
            end = found.end() + size if found[4] == b" " else found.end() - 1
            if size > ANSWER_BYTES_MAX or (size and found[4] != b" "):
                raise NoRelp
            if end >= len(self._held):
                break
            if self._held[end] != ord("\n"):
                raise NoRelp
            data = bytes(self._held[found.end() : end])
            yield Frame(int(found[1]), found[2].decode(), data)
            at = end + 1
        del self._held[:at]
        if _START.fullmatch(self._held[:_HEAD_BYTES_MAX]) is None:
            raise NoRelp


class Batch:
    """Which messages of a batch are on their way, and which were answered."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self._messages = messages
        self._next = 0
        self._pending: dict[int, int] = {}  # transaction -> index
        self._acknowledged: set[int] = set()
        self.refused: list[Refused] = []

    @property
    def is_answered(self) -> bool:
        return self._next == len(self._messages) and not self._pending

    @property
    def written(self) -> int:
        """Records from the first that the receiver has, up to one that it has not."""
        count = 0
        while count in self._acknowledged:
            count += 1
        return count

    def fill(self, session: "Session") -> bytes:
        """Frames of the next messages; none before half of the window is free, then all of it.

        A write for each answer would wake both sides for every message.
        """
        frames: list[bytes] = []
        if len(self._pending) > WINDOW // 2:
            return b""
        while len(self._pending) < WINDOW and self._next < len(self._messages):
            if message := self._messages[self._next]:  # b"": too long, not to be sent
                transaction, frame = session.syslog(message)
                self._pending[transaction] = self._next
                frames.append(frame)
            self._next += 1
        return b"".join(frames)

    def take(self, frame: Frame) -> None:
        if frame.command == "serverclose":
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        index = self._pending.pop(frame.transaction, None)
        if index is None:
            raise NoRelp
        if frame.status == OK:
            self._acknowledged.add(index)
        else:
            self.refused.append(Refused(index, frame.said))


class Session:
    """One connection to a RELP receiver: opened, used, closed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames = Frames()
        self._transaction = 0

    def open(self) -> Frame:
        """The receiver's answer to our offer."""
        self._connection.sendall(self._frame(b"open", OFFERS))
        while True:
            for answer in self.answers():
                return answer

    def syslog(self, message: bytes) -> tuple[int, bytes]:
        """The frame of a message, to be sent, and the number of its transaction."""
        frame = self._frame(b"syslog", message)
        return self._transaction, frame

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def answers(self) -> list[Frame]:
        """What the receiver sent, at least a byte of it; ConnectionResetError when it left."""
        # A receiver sends answers one by one, and (Nagle) the next when this one is confirmed: our
        # kernel would wait 40 ms for something of ours to confirm it with. To be set each time.
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        chunk = self._connection.recv(READ_BYTES)
        if not chunk:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return list(self._frames.feed(chunk))

    def read_rest(self, batch: Batch) -> None:
        """Answers that arrived before the connection broke, perhaps while we were sending."""
        with suppress(OSError, NoRelp):
            self._connection.settimeout(0)
            while True:
                for frame in self.answers():
                    batch.take(frame)

    def close(self) -> None:
        """Say goodbye and wait for the answer: what is on its way is then there."""
        with suppress(OSError, NoRelp):
            self._connection.settimeout(1.0)
            self._connection.sendall(self._frame(b"close", b""))
            while not self.answers():
                pass
        close_gently(self._connection)

    def drop(self) -> None:
        self._connection.close()

    def _frame(self, command: bytes, data: bytes) -> bytes:
        self._transaction = self._transaction % TXNR_MAX + 1
        if not data:
            return b"%d %b 0\n" % (self._transaction, command)
        return b"%d %b %d %b\n" % (self._transaction, command, len(data), data)


class Relp:
    acknowledges = True

    def __init__(self, endpoint: Endpoint, format: Format) -> None:
        self._endpoint = endpoint
        self._where = f"relp {endpoint}"
        self._messages = Messages(format, rfc5424.MESSAGE_BYTES_MAX, numbered=False)
        self._session: Session | None = None
        self._greeting = ""

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        messages, refused = self._messages.of(records)
        batch = Batch(messages)
        session = self._opened()
        try:
            while not batch.is_answered:
                if frames := batch.fill(session):
                    session.send(frames)
                for frame in session.answers():
                    batch.take(frame)
        except (OSError, NoRelp) as error:
            session.read_rest(batch)
            self._drop()
            raise self._failure(error, written=batch.written) from error
        return sorted(refused + batch.refused, key=lambda each: each.index)

    def probe(self) -> str:
        self.close()
        self._opened()
        return f"{self._where}: {self._greeting}"

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _opened(self) -> Session:
        if self._session is not None:
            return self._session
        session = Session(connect(self._endpoint, "relp"))
        try:
            answer = session.open()
        except (OSError, NoRelp) as error:
            session.drop()
            raise self._failure(error, opening=True) from error
        if answer.status != OK or b"syslog" not in answer.data:
            session.drop()
            raise SinkError(
                f"{self._where}: the receiver takes no syslog: {answer.said or answer.command}"
            )
        self._greeting = answer.said
        self._session = session
        return session

    def _failure(self, error: Exception, *, written: int = 0, opening: bool = False) -> SinkError:
        if isinstance(error, NoRelp):
            line = f"{self._where}: what answers there does not talk RELP"
        elif isinstance(error, TimeoutError):
            line = f"{self._where}: no acknowledgement within {self._endpoint.ack_timeout_s:g} s"
        else:
            assert isinstance(error, OSError)
            known = failure(self._where, error, written=written)
            if not opening or self._endpoint.tls is None or known.final:
                return known
            line = f"{known} right after the handshake: is our certificate accepted?"
        return SinkError(line, written=written)

    def _drop(self) -> None:
        if self._session is not None:
            self._session.drop()
            self._session = None
