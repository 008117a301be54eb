"""Fluent Forward v1 to Fluentd, Fluent Bit and their like: four modes, acknowledged by chunk.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
"""

import base64
import gzip
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any

import msgpack

from exporters.endpoint import Endpoint, close_gently, connect, ensure_open, failure
from exporters.formats.format import Format
from exporters.forward_auth import AuthError, Credentials, check_pong, ping
from exporters.outbox import SinkError
from exporters.payload import document_of, msgpack_bytes, one_line, parts
from exporters.transport import Refused, Tree

CHUNK_BYTES_MAX = 1 << 20  # Fluent Bit's in_forward buffers 6 MB of a chunk
RECORD_BYTES_MAX = 4 << 20
WINDOW_CHUNKS = 64  # on the way at once: a receiver may write its acks before it reads on
READ_BYTES = 1 << 16
ANSWER_BYTES_MAX = 1 << 20
GZIP_LEVEL = 1
VERDICT_S = 0.2  # how long a receiver takes to greet, or TLS 1.3 to refuse a certificate
EVENT_TIME = 0  # type of the extension


class Mode(Enum):
    MESSAGE = "message"
    FORWARD = "forward"
    PACKED = "packed"
    COMPRESSED = "compressed"


@dataclass(frozen=True, slots=True)
class _Chunk:
    id: str
    data: bytes
    records: int


class _Closed(Exception):
    """The receiver closed the connection."""


class Forward:
    """One receiver. Without `shared_key` none is asked for: a receiver that has one will not do."""

    def __init__(
        self,
        endpoint: Endpoint,
        format: Format,
        *,
        tag: str = "hoptap.hop",
        mode: str = "packed",
        hostname: str = "",
        shared_key: str = "",
        username: str = "",
        password: str = "",
        acknowledge: bool = True,
    ) -> None:
        self.acknowledges = acknowledge
        self._endpoint = endpoint
        self._where = f"forward {endpoint}"
        self._format = format
        self._tag = tag
        self._mode = Mode(mode)
        name = hostname or socket.gethostname()
        self._credentials = Credentials(name, shared_key, username, password)
        self._socket: socket.socket | None = None
        self._unpacker = _unpacker()
        self._acked_early: set[str] = set()  # chunks acknowledged before an older one

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        entries = [self._entry(record) for record in records]
        fits = [len(entry) <= RECORD_BYTES_MAX for entry in entries]
        chunks = list(
            self._chunks([entry for entry, fit in zip(entries, fits, strict=True) if fit])
        )
        # Where some do not fit, numbers of chunks are not numbers of records any more.
        written_max = fits.index(False) if False in fits else len(entries)
        acked = 0
        sent: deque[_Chunk] = deque()
        try:
            connection = self._connected()
            ahead = iter(chunks)
            while True:
                for chunk in islice(ahead, WINDOW_CHUNKS - len(sent)):
                    connection.sendall(chunk.data)
                    sent.append(chunk)
                if not sent:
                    break
                acked += self._acknowledged(connection, sent)
        except (OSError, _Closed) as error:
            self.close()
            raise self._failure(error, min(acked, written_max)) from None
        except SinkError as error:
            self.close()
            error.written = min(acked, written_max)
            raise
        reason = f"larger than the {RECORD_BYTES_MAX} bytes that receivers take"
        return [Refused(number, reason) for number, fit in enumerate(fits) if not fit]

    def probe(self) -> str:
        """The handshake; without a shared key, that the port is open."""
        try:
            self._connected()
        except (OSError, _Closed) as error:
            self.close()
            raise self._failure(error, 0) from None
        except SinkError:
            self.close()
            raise
        how = "shared key accepted" if self._credentials.shared_key else "connected"
        return f"{self._where}: {how}"

    def close(self) -> None:
        if self._socket is not None:
            close_gently(self._socket)
            self._socket = None

    def _entry(self, record: Tree) -> bytes:
        """[time, record], or without the bracket in message mode: that has its own."""
        body = msgpack_bytes(document_of(self._format, record))
        head = b"" if self._mode is Mode.MESSAGE else b"\x92"
        return head + _event_time(int(record["ts"])) + body

    def _chunks(self, entries: Sequence[bytes]) -> Iterator[_Chunk]:
        tag = msgpack_bytes(self._tag)
        for numbers in _numbers(entries, self._mode):
            chosen = entries[numbers.start : numbers.stop]
            options: dict[str, Any] = {}
            if self._mode is Mode.MESSAGE:
                head, body = b"\x94" + tag, chosen[0]
            else:
                options["size"] = len(chosen)
                head, body = b"\x93" + tag, _packed(chosen, self._mode, options)
            identity = ""
            if self.acknowledges:
                identity = base64.b64encode(secrets.token_bytes(16)).decode()
                options["chunk"] = identity
            yield _Chunk(identity, head + body + msgpack_bytes(options), len(chosen))

    def _connected(self) -> socket.socket:
        """A connection on which chunks may be sent."""
        if self._socket is not None:
            try:
                ensure_open(self._socket, 0)  # what was closed while idle takes no chunk
            except OSError:
                self.close()
        if self._socket is None:
            self._socket = connect(self._endpoint, "forward")
            self._unpacker = _unpacker()
            self._acked_early.clear()
            if self._credentials.shared_key:
                self._shake_hands(self._socket)
            else:
                self._hear_objection(self._socket)
        return self._socket

    def _hear_objection(self, connection: socket.socket) -> None:
        """A receiver that wants a key greets first; one that refuses our certificate leaves."""
        connection.settimeout(VERDICT_S)
        try:
            data = connection.recv(READ_BYTES)
        except TimeoutError:
            return
        finally:
            connection.settimeout(self._endpoint.ack_timeout_s)
        if not data:
            raise _Closed
        raise SinkError(f"{self._where}: the receiver wants a shared key", final=True)

    def _shake_hands(self, connection: socket.socket) -> None:
        try:
            sent = ping(self._answer(connection, "HELO"), self._credentials)
            connection.sendall(msgpack_bytes(sent.message))
            try:
                pong = self._answer(connection, "PONG")
            except (_Closed, ConnectionError):  # Fluent Bit's way to say no
                raise AuthError(
                    "the receiver refused the shared key, user name or password:"
                    " it closed the connection"
                ) from None
            check_pong(pong, sent, self._credentials.shared_key)
        except AuthError as error:
            self.close()
            raise SinkError(f"{self._where}: {error}", final=True) from None

    def _acknowledged(self, connection: socket.socket, sent: deque[_Chunk]) -> int:
        """Wait for the oldest chunk's acknowledgement; records that are safe now."""
        if not self.acknowledges:
            count = sum(chunk.records for chunk in sent)
            sent.clear()
            return count
        while sent[0].id not in self._acked_early:
            answer = self._answer(connection, "ack")
            acked = answer.get(b"ack") if isinstance(answer, dict) else None
            identity = acked.decode("latin-1") if isinstance(acked, bytes) else ""
            if identity not in {chunk.id for chunk in sent}:
                raise SinkError(f"{self._where}: answered something else than acknowledgements")
            self._acked_early.add(identity)
        self._acked_early.remove(sent[0].id)
        return sent.popleft().records

    def _answer(self, connection: socket.socket, awaited: str) -> Any:
        give_up_at = time.monotonic() + self._endpoint.ack_timeout_s
        while True:
            try:
                return self._unpacker.unpack()
            except msgpack.OutOfData:
                pass
            except (ValueError, msgpack.exceptions.UnpackException):
                raise SinkError(f"{self._where}: answered something else than msgpack") from None
            left_s = give_up_at - time.monotonic()
            try:
                if left_s <= 0:
                    raise TimeoutError
                connection.settimeout(left_s)
                data = connection.recv(READ_BYTES)
                connection.settimeout(self._endpoint.ack_timeout_s)
            except TimeoutError:
                raise self._silence(awaited) from None
            if not data:
                raise _Closed
            self._unpacker.feed(data)

    def _silence(self, awaited: str) -> SinkError:
        seconds = f"{self._endpoint.ack_timeout_s:g} s"
        what = {
            "ack": f"took the records, but acknowledged none of them in {seconds}",
            "HELO": f"did not greet in {seconds}: it may have no shared key",
            "PONG": f"did not answer the shared key in {seconds}",
        }[awaited]
        return SinkError(f"{self._where}: {what}")

    def _failure(self, error: Exception, written: int) -> SinkError:
        if isinstance(error, OSError):
            return failure(self._where, error, written=written)
        hint = "" if self._credentials.shared_key else "; it may want a shared key"
        line = f"{self._where}: the receiver closed the connection{hint}"
        return SinkError(one_line(line), written=written)


def _unpacker() -> msgpack.Unpacker:
    """Raw: Fluent Bit's nonce is a str of random bytes."""
    return msgpack.Unpacker(raw=True, max_buffer_size=ANSWER_BYTES_MAX)


def _event_time(time_ns: int) -> bytes:
    """EventTime, or seconds where its 32 bits do not do."""
    seconds, rest_ns = divmod(time_ns, 10**9)
    if not 0 <= seconds < 1 << 32:
        return msgpack_bytes(seconds)
    return msgpack_bytes(msgpack.ExtType(EVENT_TIME, struct.pack(">II", seconds, rest_ns)))


def _numbers(entries: Sequence[bytes], mode: Mode) -> Iterator[range]:
    if mode is Mode.MESSAGE:
        return (range(number, number + 1) for number in range(len(entries)))
    return parts(entries, CHUNK_BYTES_MAX)


def _packed(entries: Sequence[bytes], mode: Mode, options: dict[str, Any]) -> bytes:
    """The second element: entries as an array, or as a stream in a bin."""
    stream = b"".join(entries)
    if mode is Mode.FORWARD:
        head: bytes = msgpack.Packer().pack_array_header(len(entries))
        return head + stream
    if mode is Mode.COMPRESSED:
        options["compressed"] = "gzip"
        stream = gzip.compress(stream, GZIP_LEVEL, mtime=0)
    return msgpack_bytes(stream)
