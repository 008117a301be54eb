"""A receiver on the network: connecting to it, with TLS where asked, and saying why that failed.

Every error leaves as one line that names the protocol, the receiver and the reason. What another
attempt cannot heal (a certificate, a name that TLS does not confirm) is a `final` SinkError.
"""

import contextlib
import errno
import os
import select
import socket
import ssl
import time
from dataclasses import dataclass

from exporters.outbox import SinkError

CLOSE_TIMEOUT_S = 2.0  # how long a receiver may take to answer our goodbye
READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class TlsFiles:
    ca_file: str = ""  # "": the system's authorities
    cert_file: str = ""  # of the client; "": none
    key_file: str = ""  # "": the key is in cert_file
    name: str = ""  # that the receiver's certificate must have; "": the host


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int
    connect_timeout_s: float
    ack_timeout_s: float  # also the time that a receiver may leave our bytes unread
    tls: TlsFiles | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def connect(endpoint: Endpoint, protocol: str = "") -> socket.socket:
    """A connected socket, its TLS handshake done; its timeout is `ack_timeout_s`.

    In TLS 1.3 a receiver judges our certificate only after the handshake: its refusal comes with
    the first read, see `ensure_open`.
    """
    where = f"{protocol} {endpoint}".lstrip()
    context = _context_of(endpoint, where)
    try:
        connection = socket.create_connection(
            (endpoint.host, endpoint.port), endpoint.connect_timeout_s
        )
    except OSError as error:
        raise failure(where, error) from error
    try:
        _adjust(connection, endpoint)
        if context is not None and endpoint.tls is not None:
            name = endpoint.tls.name or endpoint.host
            connection = context.wrap_socket(connection, server_hostname=name)
        connection.settimeout(endpoint.ack_timeout_s)
    except OSError as error:
        connection.close()
        raise failure(where, error) from error
    return connection


def connect_datagrams(endpoint: Endpoint, protocol: str, attempt: int = 0) -> socket.socket:
    """A UDP socket that sends to the endpoint, and hears by ICMP that nobody listens there.

    Which of several addresses answers is not known before: each attempt takes the next.
    """
    where = f"{protocol} {endpoint}"
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
        family, kind, number, _, address = found[attempt % len(found)]
        connection = socket.socket(family, kind, number)
    except OSError as error:
        raise failure(where, error) from error
    try:
        connection.connect(address)
    except OSError as error:
        connection.close()
        raise failure(where, error) from error
    connection.settimeout(endpoint.ack_timeout_s)
    return connection


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """What a client needs to talk TLS 1.2 or later; SinkError if a file of it is of no use.

    Files are read anew for each connection: a renewed certificate needs no restart.
    """
    named = files.ca_file
    try:
        context = ssl.create_default_context(cafile=files.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if files.cert_file:
            named = (
                f"{files.cert_file} with {files.key_file}" if files.key_file else files.cert_file
            )
            context.load_cert_chain(files.cert_file, files.key_file or None, _no_passphrase)
    except ssl.SSLError as error:
        reason = error.reason or "not a PEM file"
        raise SinkError(f"{named}: {_words(reason)}", final=True) from error
    except OSError as error:
        raise SinkError(f"{named}: {reason_of(error)}", final=True) from error
    return context


def failure(where: str, error: OSError, *, written: int = 0) -> SinkError:
    """The one line for an error of a socket."""
    certificate = isinstance(error, ssl.SSLCertVerificationError) or _is_refusal(error)
    return SinkError(f"{where}: {reason_of(error)}", written=written, final=certificate)


def reason_of(error: OSError) -> str:
    """Why a connection failed, in words that an operator can act on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
        return "the receiver closed the connection"
    if isinstance(error, ssl.SSLError):
        return _reason_of_tls(error)
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return f"no address: {(error.strerror or str(error)).lower()}"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "the receiver closed the connection"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def ensure_open(connection: socket.socket, wait_s: float) -> None:
    """Raise an OSError if the receiver has left or refused us, watching it for `wait_s`.

    For protocols in which the receiver says nothing: what it says all the same is dropped.
    """
    until = time.monotonic() + wait_s
    timeout_s = connection.gettimeout()
    while _readable(connection, until - time.monotonic()):
        connection.settimeout(0)
        try:
            if not connection.recv(READ_BYTES):
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        except (BlockingIOError, ssl.SSLWantReadError):
            pass  # a session ticket: bytes of TLS, none of ours
        finally:
            connection.settimeout(timeout_s)


def close_gently(connection: socket.socket) -> None:
    """Close so that the receiver gets all we sent.

    Closing with unread bytes (a TLS session ticket suffices) would send a reset, and that destroys
    what the receiver has not read yet (RFC 1122 section 4.2.2.13).
    """
    if connection.type == socket.SOCK_DGRAM:
        connection.close()
        return
    with contextlib.suppress(OSError, ValueError):
        connection.settimeout(CLOSE_TIMEOUT_S)
        if isinstance(connection, ssl.SSLSocket):
            # The receiver may close TCP without answering the close_notify.
            with contextlib.suppress(ssl.SSLError):
                connection = connection.unwrap()
        connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + CLOSE_TIMEOUT_S
        while _readable(connection, until - time.monotonic()) and connection.recv(READ_BYTES):
            pass
    connection.close()


def _context_of(endpoint: Endpoint, where: str) -> ssl.SSLContext | None:
    if endpoint.tls is None:
        return None
    try:
        return tls_context(endpoint.tls)
    except SinkError as error:
        raise SinkError(f"{where}: {error}", final=True) from error


def _adjust(connection: socket.socket, endpoint: Endpoint) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A host that vanished is noticed after this time, not after the kernel's 15 minutes.
    user_timeout_ms = int(endpoint.ack_timeout_s * 1000)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)


def _readable(connection: socket.socket, wait_s: float) -> bool:
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(max(0.0, wait_s) * 1000))


def _no_passphrase() -> str:
    raise OSError("the key has a passphrase")  # and nobody is there to type it


def _is_refusal(error: OSError) -> bool:
    """An alert of the receiver about our certificate, or about TLS as such."""
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")


def _reason_of_tls(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if "ALERT" in reason:
        return f"the receiver refused us in TLS: {_words(reason.partition('ALERT_')[2])}"
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "the receiver does not talk TLS"
    if reason == "UNEXPECTED_EOF_WHILE_READING":
        return "the receiver closed the connection"
    return f"TLS: {_words(reason)}" if reason else "TLS failed"


def _words(reason: str) -> str:
    """An identifier of OpenSSL as words."""
    return reason.replace("_", " ").lower()
