"""POST: a kept connection, and one clear line for everything that can go wrong with it."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporters.endpoint import TlsFiles
from exporters.httpclient import HttpClient, HttpEndpoint
from exporters.outbox import SinkError
from tests.certificates import Authority
from tests.exporters.receivers.process import python

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def client_of(port: int, *, ack_timeout_s: float = 10, compress: bool = True) -> HttpClient:
    endpoint = HttpEndpoint(f"http://127.0.0.1:{port}", 5, ack_timeout_s, compress=compress)
    return HttpClient("test", endpoint, "/there", {})


@contextmanager
def peer(*conversations: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accepts a connection for each conversation, in turn."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for converse in conversations:
                connection, _ = listener.accept()
                with connection:
                    converse(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def request(connection: socket.socket) -> bytes:
    """A request, whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    [length] = [int(line[16:]) for line in head.split(b"\r\n") if line[:15] == b"Content-Length:"]
    while len(body) < length:
        body += connection.recv(1 << 16)
    return body


def answers(*answered: bytes) -> Callable[[socket.socket], None]:
    def converse(connection: socket.socket) -> None:
        for answer in answered:
            request(connection)
            connection.sendall(answer)

    return converse


def error_of(port: int, **options: float) -> SinkError:
    client = client_of(port, **options)  # type: ignore[arg-type]
    with pytest.raises(SinkError) as caught:
        client.post(b"{}")
    client.close()
    assert str(caught.value).startswith(f"test 127.0.0.1:{port}: ")
    return caught.value


def test_a_connection_is_kept() -> None:
    with peer(answers(ANSWER, ANSWER, ANSWER)) as port:
        client = client_of(port)
        assert [client.post(b"{}").status for _ in range(3)] == [200, 200, 200]
        client.close()


def test_what_was_closed_while_idle_is_connected_again() -> None:
    with peer(answers(ANSWER), answers(ANSWER)) as port:
        client = client_of(port)
        assert [client.post(b"{}").status for _ in range(2)] == [200, 200]
        client.close()


def test_connection_close_is_obeyed() -> None:
    closing = ANSWER.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
    with peer(answers(closing), answers(closing)) as port:
        client = client_of(port)
        assert [client.post(b"{}").json() for _ in range(2)] == [{}, {}]
        client.close()


@pytest.mark.parametrize("compress", [True, False])
def test_bodies_arrive(compress: bool) -> None:
    body = b"0123456789" * 100_000
    got: list[bytes] = []

    def converse(connection: socket.socket) -> None:
        got.append(request(connection))
        connection.sendall(ANSWER)

    with peer(converse) as port:
        client = client_of(port, compress=compress)
        client.post(body)
        client.close()
    assert (gzip.decompress(got[0]) if compress else got[0]) == body
    assert (len(got[0]) < len(body)) is compress


def test_an_answer_before_the_end_of_the_body_is_read() -> None:
    """A receiver may refuse a body that it has not read."""

    def converse(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with peer(converse) as port:
        client = client_of(port, compress=False)
        assert client.post(b"x" * 3_000_000).line() == "401 Unauthorized"
        client.close()


def silence(connection: socket.socket) -> None:
    while connection.recv(1 << 16):  # until the other side gives up
        pass


@pytest.mark.parametrize(
    ("converse", "said"),
    [
        (answers(b""), "the receiver closed the connection without an answer"),
        (answers(b"SSH-2.0-OpenSSH_9.2\r\n"), "the receiver does not speak HTTP"),
        (answers(ANSWER[:-1]), "the receiver closed the connection within its answer"),
        (silence, "connected, but no answer within 0.3 s"),
    ],
)
def test_no_answer(converse: Callable[[socket.socket], None], said: str) -> None:
    with peer(converse) as port:
        error = error_of(port, ack_timeout_s=0.3)
    assert str(error) == f"test 127.0.0.1:{port}: {said}"
    assert not error.final


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = error_of(port)
    assert str(error) == f"test 127.0.0.1:{port}: connection refused"


def test_a_redirect_is_told_and_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://sso.test/\r\nContent-Length: 0\r\n\r\n"
    with peer(answers(moved)) as port:
        client = client_of(port)
        assert client.post(b"{}").line() == "302 Found: moved to https://sso.test/"
        client.close()


def test_tls_and_certificates_that_are_not_accepted(authority: Authority, tmp_path: Path) -> None:
    good, old = authority.issue("127.0.0.1"), authority.issue("127.0.0.1", expired=True)

    def client(port: int, ca_file: str, name: str = "") -> HttpClient:
        tls = TlsFiles(ca_file, name=name)
        return HttpClient("test", HttpEndpoint(f"https://127.0.0.1:{port}", tls=tls), "/x", {})

    def failure(port: int, ca_file: str, name: str = "") -> str:
        with pytest.raises(SinkError) as caught:
            client(port, ca_file, name).post(b"{}")
        assert caught.value.final
        return str(caught.value)

    with python("otlp", tmp_path / "a", cert=good.cert_file, key=good.key_file) as receiver:
        kept = client(receiver.port, str(authority.certificate))
        assert kept.post(b"{}").status == 404
        kept.close()
        where = f"test 127.0.0.1:{receiver.port}: its certificate is not accepted"
        assert failure(receiver.port, "").startswith(f"{where}: unable to get local issuer")
        assert "mismatch" in failure(receiver.port, str(authority.certificate), "other.test")
    with python("otlp", tmp_path / "b", cert=old.cert_file, key=old.key_file) as receiver:
        where = f"test 127.0.0.1:{receiver.port}: its certificate is not accepted"
        assert (
            failure(receiver.port, str(authority.certificate))
            == f"{where}: certificate has expired"
        )


def test_a_url_with_a_password_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="a setting of its own") as caught:
        HttpClient("test", HttpEndpoint("https://hoptap:word@siem/"), "/", {})
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "siem:8088", "ftp://siem/", "https://"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL of http or https"):
        HttpClient("test", HttpEndpoint(url), "/", {})
