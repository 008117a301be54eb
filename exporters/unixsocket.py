"""A unix socket that another program listens on: a stream of documents, or one in each datagram.

The listener's socket says which of the two it is. A stream has lines (msgpack objects follow each
other as they are); a datagram has no newline.
"""

import errno
import os
import socket
from collections.abc import Sequence

from exporters.endpoint import close_gently, ensure_open, failure
from exporters.formats.format import Format
from exporters.payload import payload_of
from exporters.transport import Refused, Tree

TIMEOUT_S = 30.0  # how long a listener may leave our bytes unread


class UnixSocket:
    acknowledges = False

    def __init__(self, path: str, format: Format, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._where = f"unix {path}"
        self._format = format
        self._timeout_s = timeout_s
        self._connection: socket.socket | None = None

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        payloads = [payload_of(self._format, record) for record in records]
        connection = self._connected()
        try:
            if connection.type == socket.SOCK_DGRAM:
                return _send_datagrams(connection, payloads)
            ensure_open(connection, 0)
            end = b"" if self._format.name == "msgpack" else b"\n"
            connection.sendall(b"".join([payload + end for payload in payloads]))
        except OSError as error:
            self._drop()
            raise failure(self._where, error) from error
        return ()

    def probe(self) -> str:
        stream = self._connected().type == socket.SOCK_STREAM
        return f"{self._where}: connected to a {'stream' if stream else 'datagram'} socket"

    def close(self) -> None:
        if self._connection is not None:
            close_gently(self._connection)
            self._connection = None

    def _connected(self) -> socket.socket:
        if self._connection is None:
            try:
                self._connection = self._connect(socket.SOCK_STREAM)
                if self._format.preamble:
                    head = self._format.preamble.rstrip("\n") + "\n"
                    self._connection.sendall(head.encode())
            except OSError as error:
                self._drop()
                if error.errno != errno.EPROTOTYPE:
                    raise failure(self._where, error) from error
                self._connection = self._connect_datagrams()
        return self._connection

    def _connect_datagrams(self) -> socket.socket:
        try:
            return self._connect(socket.SOCK_DGRAM)
        except OSError as error:
            raise failure(self._where, error) from error

    def _connect(self, kind: socket.SocketKind) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, kind)
        try:
            connection.settimeout(self._timeout_s)
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _send_datagrams(connection: socket.socket, payloads: Sequence[bytes]) -> Sequence[Refused]:
    """The kernel makes us wait while the listener's queue is full; it loses none."""
    refused = []
    for index, payload in enumerate(payloads):
        try:
            connection.send(payload)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            refused.append(Refused(index, f"{len(payload)} bytes, {os.strerror(errno.EMSGSIZE)}"))
    return refused
