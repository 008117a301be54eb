"""Connecting to a receiver: every failure is one line that names it and the reason."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.endpoint import (
    Endpoint,
    TlsFiles,
    close_gently,
    connect,
    connect_datagrams,
    ensure_open,
)
from exporters.formats.rfc5424 import RFC5424
from exporters.outbox import SinkError
from exporters.syslog import Syslog
from tests.certificates import Authority, openssl
from tests.lab.manyrecords import many

Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """A port of loopback; `serve` has each connection in a thread, which closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def tls_server(files: TlsFiles, *, wants_client: bool = False) -> Serve:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert_file, files.key_file)
    if wants_client:
        context.load_verify_locations(files.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            while inside.recv(1000):
                pass

    return serve


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def endpoint(port: int, tls: TlsFiles | None = None, host: str = "localhost") -> Endpoint:
    return Endpoint(host, port, connect_timeout_s=5, ack_timeout_s=5, tls=tls)


def line_of(receiver: Endpoint) -> str:
    with pytest.raises(SinkError) as caught:
        connect(receiver, "relp").close()
    assert "\n" not in str(caught.value)
    return ("final: " if caught.value.final else "") + str(caught.value)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert line_of(endpoint(port)) == f"relp localhost:{port}: connection refused"


def test_no_such_host() -> None:
    line = line_of(endpoint(514, host="no-such-host.invalid"))
    assert line.startswith("relp no-such-host.invalid:514: no address: ")


def test_nobody_answers() -> None:
    """A full backlog: the third connection gets no answer to its SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        receiver = Endpoint("127.0.0.1", port, connect_timeout_s=0.2, ack_timeout_s=5)
        assert line_of(receiver) == f"relp 127.0.0.1:{port}: no answer in time"
        for each in held:
            each.close()


def test_a_receiver_without_tls(authority: Authority) -> None:
    with serving(lambda connection: connection.sendall(b"220 smtp\r\n")) as port:
        line = line_of(endpoint(port, authority.issue("sensor")))
    assert line == f"relp localhost:{port}: the receiver does not talk TLS"


def test_certificates_of_the_receiver(authority: Authority, tmp_path: Path) -> None:
    client = authority.issue("sensor")
    cases = {
        "certificate has expired": authority.issue("localhost", expired=True),
        "unable to get local issuer certificate": Authority(tmp_path, "other").issue("localhost"),
        "Hostname mismatch, certificate is not valid for 'localhost'": authority.issue("siem"),
    }
    for reason, server in cases.items():
        with serving(tls_server(server)) as port:
            line = line_of(endpoint(port, client))
        where = f"relp localhost:{port}"
        assert line == f"final: {where}: its certificate is not accepted: {reason}"


def test_the_name_to_expect_may_be_given(authority: Authority) -> None:
    with serving(tls_server(authority.issue("siem"))) as port:
        close_gently(connect(endpoint(port, replace(authority.issue("sensor"), name="siem"))))


def test_files_that_are_of_no_use(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue("sensor"), authority.issue("other")
    garbage, locked = tmp_path / "garbage.pem", tmp_path / "locked.key"
    garbage.write_text("not PEM\n")
    openssl("ec", "-in", good.key_file, "-aes128", "-passout", "pass:x", "-out", locked)
    cases = {
        TlsFiles("/nowhere/ca.pem"): "/nowhere/ca.pem: no such file or directory",
        TlsFiles(str(garbage)): f"{garbage}: no certificate or crl found",
        TlsFiles(good.ca_file, good.cert_file, other.key_file): (
            f"{good.cert_file} with {other.key_file}: key values mismatch"
        ),
        TlsFiles(good.ca_file, good.cert_file, str(locked)): (
            f"{good.cert_file} with {locked}: the key has a passphrase"
        ),
    }
    for files, reason in cases.items():
        assert line_of(endpoint(9, files)) == f"final: relp localhost:9: {reason}"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_certificate_is_refused(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the handshake succeeds for the client; the refusal comes after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = authority.issue("localhost")
    context.load_cert_chain(server.cert_file, server.key_file)
    context.load_verify_locations(server.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version

    def serve(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).recv(1)

    with serving(serve) as port:
        receiver = endpoint(port, TlsFiles(server.ca_file))
        if version is ssl.TLSVersion.TLSv1_2:
            line = line_of(receiver)
            assert line.startswith(f"final: relp localhost:{port}: the receiver refused us in TLS")
        else:
            connection = connect(receiver)
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
                ensure_open(connection, 5)
            connection.close()


def test_session_tickets_are_no_refusal(authority: Authority) -> None:
    with serving(tls_server(authority.issue("localhost"), wants_client=True)) as port:
        connection = connect(endpoint(port, authority.issue("sensor")))
        ensure_open(connection, 0.1)
        assert connection.gettimeout() == 5
        close_gently(connection)


def test_a_receiver_that_left_is_noticed() -> None:
    with serving(lambda connection: None) as port:
        connection = connect(endpoint(port))
        with pytest.raises(ConnectionResetError):
            ensure_open(connection, 5)
        connection.close()


def test_a_gentle_close_loses_nothing(authority: Authority) -> None:
    """The session tickets of TLS 1.3 lie unread: a plain close would reset what is on its way."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = authority.issue("localhost")
    context.load_cert_chain(server.cert_file, server.key_file)
    got, go, done = bytearray(), threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            go.wait(5)  # everything is sent before the first byte is read
            while chunk := inside.recv(1 << 16):
                got.extend(chunk)
        done.set()

    with serving(serve) as port:
        connection = connect(endpoint(port, TlsFiles(server.ca_file)))
        connection.sendall(b"x" * 100_000)
        go.set()
        close_gently(connection)
        assert done.wait(5)
    assert len(got) == 100_000


def test_ipv6_is_written_in_brackets() -> None:
    assert str(endpoint(514, host="::1")) == "[::1]:514"
    assert str(endpoint(514, host="siem.example.org")) == "siem.example.org:514"


def test_datagrams_to_nobody() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    sender = connect_datagrams(endpoint(port, host="127.0.0.1"), "syslog udp")
    sender.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        sender.send(b"x")
    sender.close()
    with pytest.raises(SinkError, match=r"udp no-such-host\.invalid:514: no address: "):
        connect_datagrams(endpoint(514, host="no-such-host.invalid"), "syslog udp")


def test_datagrams_to_the_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with an address where nobody listens, as localhost has where rsyslog has no IPv6."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        address = listener.getsockname()
        nobody = ("127.0.0.2", address[1])
        kind = (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP, "")
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_, **__: [(*kind, nobody), (*kind, address)]
        )
        sink = Syslog(endpoint(address[1]), "udp", RFC5424)
        records = many(2)
        with pytest.raises(SinkError, match="connection refused"):
            sink.send(records)
        assert list(sink.send(records)) == []
        sink.close()
        assert listener.recv(4096).startswith(b"<110>1 ")
