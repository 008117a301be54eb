"""Syslog over UDP (RFC 5426), TCP with octet counting (RFC 6587) and TLS (RFC 5425).

Nothing in these protocols tells that a message arrived. Invariant over TCP and TLS: `send` returns
once the receiver's kernel has every byte, so what a receiver loses is at most what it had not read.
"""

import array
import errno
import fcntl
import os
import socket
import termios
import time
from collections.abc import Callable, Sequence

from exporters.endpoint import (
    Endpoint,
    close_gently,
    connect,
    connect_datagrams,
    ensure_open,
    failure,
)
from exporters.formats import rfc5424
from exporters.formats.format import Format
from exporters.outbox import SinkError
from exporters.payload import payload_of
from exporters.transport import Refused, Tree

# In TLS 1.3 a receiver that does not like our certificate says so after the handshake.
REFUSAL_WAIT_S = 0.15
SEQUENCE_MAX = 2_147_483_647  # RFC 5424 section 7.3.1
# Linux gives a socket 208 KiB to receive in, charged at twice the size of these datagrams and more.
BURST_DATAGRAMS = 32
BURST_PAUSE_S = 0.004
UNSENT_POLL_S = 0.001


class Messages:
    """Records as syslog messages with running numbers, by which a receiver can tell its losses."""

    def __init__(self, format: Format, bytes_max: int, *, numbered: bool) -> None:
        self._format = format
        self._bytes_max = bytes_max
        self._numbered = numbered
        self._sequence = 0

    def of(self, records: Sequence[Tree]) -> tuple[list[bytes], list[Refused]]:
        """One message per record; b"" for one that is too long, which is refused."""
        messages, refused = [], []
        for index, record in enumerate(records):
            message = self._message(record)
            if len(message) > self._bytes_max:
                # Half a document is none, and receivers cut in silence.
                reason = f"{len(message)} bytes, and a message holds {self._bytes_max}"
                refused.append(Refused(index, reason))
                message = b""
            messages.append(message)
        return messages, refused

    def _message(self, record: Tree) -> bytes:
        if self._numbered:
            self._sequence = self._sequence % SEQUENCE_MAX + 1
        if self._format.name == rfc5424.RFC5424.name:
            return rfc5424.message(record, bytes_max=self._bytes_max, sequence=self._sequence)
        payload = payload_of(self._format, record)
        return rfc5424.envelope(record, payload, sequence=self._sequence)


class Syslog:
    """`protocol` is udp, tcp or tls; the endpoint's `tls` is given with tls only."""

    acknowledges = False

    def __init__(
        self,
        endpoint: Endpoint,
        protocol: str,
        format: Format,
        report: Callable[[str], None] | None = None,
    ) -> None:
        bytes_max = rfc5424.DATAGRAM_BYTES_MAX if protocol == "udp" else rfc5424.MESSAGE_BYTES_MAX
        self._endpoint = endpoint
        self._protocol = protocol
        self._where = f"syslog {protocol} {endpoint}"
        self._messages = Messages(format, bytes_max, numbered=True)
        self._report = report
        self._connection: socket.socket | None = None
        self._failures = 0

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        self._warn()
        messages, refused = self._messages.of(records)
        connection = self._connected()
        try:
            if self._protocol == "udp":
                _send_datagrams(connection, [each for each in messages if each])
            else:
                ensure_open(connection, 0)
                connection.sendall(b"".join([octet_counted(each) for each in messages if each]))
                _wait_until_sent(connection, self._endpoint.ack_timeout_s)
                ensure_open(connection, 0)
        except TimeoutError as error:
            self._drop()
            waited = f"{self._endpoint.ack_timeout_s:g} s"
            raise SinkError(f"{self._where}: left our bytes unread for {waited}") from error
        except OSError as error:
            self._drop()
            raise failure(self._where, error) from error
        return refused

    def probe(self) -> str:
        self._connected()
        if self._protocol == "udp":
            return f"{self._where}: no answer is expected"
        return f"{self._where}: connected; the protocol has no acknowledgement"

    def close(self) -> None:
        if self._connection is not None:
            close_gently(self._connection)
            self._connection = None

    def _connected(self) -> socket.socket:
        if self._connection is None:
            if self._protocol == "udp":
                self._connection = connect_datagrams(self._endpoint, "syslog udp", self._failures)
                return self._connection
            self._connection = connect(self._endpoint, f"syslog {self._protocol}")
            try:
                ensure_open(self._connection, REFUSAL_WAIT_S)
            except OSError as error:
                self._drop()
                raise self._refusal(error) from error
        return self._connection

    def _refusal(self, error: OSError) -> SinkError:
        known = failure(self._where, error)
        if self._endpoint.tls is None or known.final:
            return known
        return SinkError(f"{known} right after the handshake: is our certificate accepted?")

    def _drop(self) -> None:
        self._failures += 1
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _warn(self) -> None:
        """Once: what no retry can make good."""
        if self._report is not None:
            lost = "what a receiver loses, or the network, is not sent again"
            self._report(f"{self._where}: syslog has no acknowledgement: {lost}; relp has one")
            self._report = None


def octet_counted(message: bytes) -> bytes:
    """MSG-LEN SP SYSLOG-MSG, RFC 6587 section 3.4.1."""
    return b"%d %b" % (len(message), message)


def _send_datagrams(connection: socket.socket, messages: Sequence[bytes]) -> None:
    """In bursts that a receiver's socket can hold.

    A closed port answers by ICMP: the error of a datagram comes with a later call.
    """
    for number, message in enumerate(messages, 1):
        connection.send(message)
        if number % BURST_DATAGRAMS == 0:
            time.sleep(BURST_PAUSE_S)
    if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))


def _wait_until_sent(connection: socket.socket, timeout_s: float) -> None:
    """Until the receiver's kernel has confirmed every byte (SIOCOUTQ, tcp(7))."""
    until = time.monotonic() + timeout_s
    unsent = array.array("i", [0])
    while True:
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, unsent)
        if not unsent[0]:
            return
        if time.monotonic() >= until:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        time.sleep(UNSENT_POLL_S)
