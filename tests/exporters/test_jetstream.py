"""JetStream, on a real nats-server: acknowledged is stored, and twice sent is stored once."""

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from exporters.endpoint import Endpoint, TlsFiles
from exporters.formats.format import Format
from exporters.jetstream import JetStream
from exporters.outbox import SinkError
from tests.certificates import Authority
from tests.exporters.delivering import deliver, failure_of
from tests.exporters.receivers.nats_server import NatsServer
from tests.exporters.sample import HOP, trees

pytestmark = pytest.mark.server
SUBJECT = "hoptap.hop"


def jetstream(
    port: int,
    format: Format = HOP,
    *,
    tls: TlsFiles | None = None,
    ack_timeout_s: float = 20,
    username: str = "",
    password: str = "",
) -> JetStream:
    endpoint = Endpoint("127.0.0.1", port, 5, ack_timeout_s, tls)
    return JetStream(endpoint, format, username=username, password=password)


def test_what_is_sent_twice_is_stored_once(tmp_path: Path) -> None:
    records = trees(700)
    with NatsServer(tmp_path) as server:
        server.add_stream(SUBJECT)
        transport = jetstream(server.port)
        assert transport.send(records) == []
        assert transport.send(records) == []
        transport.close()
        stored = server.stored(len(records))
    assert sorted((json.loads(data) for _, data in stored), key=lambda each: each["ts"]) == records
    assert {identity for identity, _ in stored} == {record["id"] for record in records}


def test_lines_of_text(tmp_path: Path) -> None:
    cef = Format("cef", lambda tree: f"CEF:1|{tree['id']}", is_text=True)
    [record] = trees(1)
    with NatsServer(tmp_path) as server:
        server.add_stream(SUBJECT)
        transport = jetstream(server.port, format=cef)
        transport.send([record])
        transport.close()
        assert server.stored(1) == [(record["id"], f"CEF:1|{record['id']}".encode())]


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    """Within the duplicate window of the stream there is not even a second copy."""
    records = trees(6000)
    killed_at: list[int] = []
    with NatsServer(tmp_path) as server:
        server.add_stream(SUBJECT)

        def kill(safe: int) -> None:
            if safe > 1500 * (len(killed_at) + 1):
                killed_at.append(safe)
                server.kill()
                server.start()

        transport = jetstream(server.port)
        assert deliver(transport, records, batch_records=256, between=kill) == []
        transport.close()
        stored = [json.loads(data) for _, data in server.stored(len(records))]
    assert len(killed_at) == 3
    assert sorted(stored, key=lambda each: int(each["ts"])) == records


def test_the_server_is_killed_while_it_is_written_to(tmp_path: Path) -> None:
    records = trees(3000)
    with NatsServer(tmp_path) as server:
        server.add_stream(SUBJECT)
        transport = jetstream(server.port)
        publish = transport._publish
        published: list[str] = []

        async def publish_and_kill(stream: Any, payload: bytes, identity: str) -> None:
            published.append(identity)
            if len(published) == 400:
                server.kill()
                server.start()
            await publish(stream, payload, identity)

        transport._publish = publish_and_kill  # type: ignore[method-assign]
        assert deliver(transport, records) == []
        transport.close()
        stored = [json.loads(data) for _, data in server.stored(len(records))]
    assert len(published) > len(records)
    assert sorted(stored, key=lambda each: int(each["ts"])) == records


def test_a_connection_closed_while_idle_costs_no_record(tmp_path: Path) -> None:
    records = trees(2)
    with NatsServer(tmp_path) as server:
        server.add_stream(SUBJECT)
        transport = jetstream(server.port)
        assert transport.send(records[:1]) == []
        server.kill()
        server.start()
        assert transport.send(records[1:]) == []
        transport.close()
        assert len(server.stored(2)) == 2


def test_nobody_listens_on_the_subject(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        server.add_stream("other")
        error = failure_of(jetstream(server.port), trees(3))
        transport = jetstream(server.port)
        with pytest.raises(SinkError) as caught:
            transport.probe()
        transport.close()
    where = f"nats 127.0.0.1:{server.port}"
    assert str(error) == f"{where}: no stream listens on subject hoptap.hop; create one there"
    assert str(caught.value) == str(error)
    assert (error.written, error.final) == (0, True)


def test_a_full_stream_takes_no_more(tmp_path: Path) -> None:
    from nats.js.api import DiscardPolicy

    with NatsServer(tmp_path) as server:
        server.add_stream(SUBJECT, max_msgs=5, discard=DiscardPolicy.NEW)
        error = failure_of(jetstream(server.port), trees(20))
        assert len(server.stored(5)) == 5
    assert "maximum messages exceeded" in str(error)
    assert error.written <= 5


def test_a_message_larger_than_the_server_takes(tmp_path: Path) -> None:
    records = trees(5)
    records[2]["extra"] = {"much": "x" * 20_000}
    with NatsServer(tmp_path, "max_payload: 16384") as server:
        server.add_stream(SUBJECT)
        transport = jetstream(server.port)
        [refused] = transport.send(records)
        transport.close()
        stored = [json.loads(data) for _, data in server.stored(4)]
    assert (refused.index, refused.reason) == (
        2, "larger than the 16384 bytes that the server takes"
    )  # fmt: skip
    assert stored == records[:2] + records[3:]


AUTHORIZATION = "authorization { user: hoptap, password: word }"


def test_user_and_password(tmp_path: Path) -> None:
    operator = {"user": "hoptap", "password": "word"}
    with NatsServer(tmp_path, AUTHORIZATION, **operator) as server:
        server.add_stream(SUBJECT)
        transport = jetstream(server.port, username="hoptap", password="word")
        assert "stream hops" in transport.probe()
        assert transport.send(trees(1)) == []
        transport.close()
        errors = [
            failure_of(jetstream(server.port, username=name, password="other"), trees(1))
            for name in ("hoptap", "")
        ]
    for error in errors:
        assert str(error) == f"nats 127.0.0.1:{server.port}: Authorization Violation"
        assert error.final


def test_a_user_who_may_publish_and_no_more(tmp_path: Path) -> None:
    users = """authorization { users = [
        { user: operator, password: word }
        { user: hoptap, password: word,
          permissions: { publish: hoptap.hop, subscribe: "_INBOX.>" } }
    ] }"""
    with NatsServer(tmp_path, users, user="operator", password="word") as server:
        server.add_stream(SUBJECT)
        endpoint = Endpoint("127.0.0.1", server.port, 0.5, 20)
        transport = JetStream(endpoint, HOP, username="hoptap", password="word")
        assert transport.probe().endswith(", does not tell which stream listens")
        assert transport.send(trees(10)) == []
        transport.close()
        assert len(server.stored(10)) == 10


def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, old = authority.issue("127.0.0.1"), authority.issue("127.0.0.1", expired=True)
    lines = 'tls {{ cert_file: "{0.cert_file}", key_file: "{0.key_file}" }}'
    tls = TlsFiles(str(authority.certificate))
    operator = {"tls": ssl.create_default_context(cafile=str(authority.certificate))}
    with NatsServer(tmp_path, lines.format(good), **operator) as server:
        server.add_stream(SUBJECT)
        transport = jetstream(server.port, tls=tls)
        assert transport.send(trees(1)) == []
        transport.close()
        unknown = failure_of(jetstream(server.port, tls=TlsFiles()), trees(1))
        assert len(server.stored(1)) == 1
    with NatsServer(tmp_path, lines.format(old)) as server:
        expired = failure_of(jetstream(server.port, tls=tls), trees(1))
    with NatsServer(tmp_path, AUTHORIZATION) as server:
        asked = jetstream(server.port, tls=tls, username="hoptap", password="word")
        plain = failure_of(asked, trees(1))
    assert "its certificate is not accepted: unable to get local issuer" in str(unknown)
    assert "its certificate is not accepted: certificate has expired" in str(expired)
    assert str(plain).endswith(": the server offers no TLS")
    assert all(error.final for error in (unknown, expired, plain))


def test_a_server_that_is_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = failure_of(jetstream(port), trees(1))
    assert str(error) == f"nats 127.0.0.1:{port}: connection refused"


def test_a_listener_that_never_acknowledges(tmp_path: Path) -> None:
    """Somebody subscribed to the subject, but no stream did."""
    with (
        NatsServer(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port)) as subscriber,
    ):
        subscriber.recv(4096)
        subscriber.sendall(b'CONNECT {"verbose":false}\r\nSUB hoptap.hop 1\r\nPING\r\n')
        assert subscriber.recv(100) == b"PONG\r\n"
        error = failure_of(jetstream(server.port, ack_timeout_s=0.3), trees(3))
    assert str(error) == f"nats 127.0.0.1:{server.port}: no acknowledgement in 0.3 s"
    assert (error.written, error.final) == (0, False)
