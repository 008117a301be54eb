"""Kafka, on the cluster that librdkafka simulates: delivered is what a broker has acknowledged."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from exporters.endpoint import Endpoint, TlsFiles
from exporters.jetstream import JetStream
from exporters.kafka import Kafka, key_of
from tests.certificates import Authority
from tests.exporters.delivering import deliver, failure_of
from tests.exporters.receivers.kafka_cluster import KafkaCluster
from tests.exporters.receivers.process import python
from tests.exporters.receivers.sasl_broker import unbelieving_broker
from tests.exporters.sample import HOP, trees

TOPIC = "hoptap.hop"


def value(message: Any) -> Any:
    return json.loads(message.value())


def test_message(tmp_path: Path) -> None:
    records = trees(100)
    records[1]["chain"] = records[0]["chain"]
    with KafkaCluster() as cluster:
        transport = Kafka(cluster.brokers, HOP, compress=True)
        assert transport.probe() == f"kafka {cluster.brokers}: topic {TOPIC} has 4 partitions"
        assert transport.send(records) == []
        transport.close()
        messages = cluster.stored(TOPIC, len(records))
    assert sorted((value(each) for each in messages), key=lambda each: each["ts"]) == records
    for message in messages:
        record = value(message)
        assert message.key() == key_of(record)
        assert message.headers() == [("hoptap-id", record["id"].encode())]
        assert message.timestamp()[1] == record["ts"] // 10**6
    first, second = (
        next(each for each in messages if value(each) == record) for record in records[:2]
    )
    assert first.partition() == second.partition()


def test_key() -> None:
    full, bare = trees(5)[0], trees(5)[4]
    assert key_of(full).decode() == full["chain"]["id"]
    assert key_of(bare).decode() == bare["id"]
    del full["chain"]
    assert key_of(full) == b"esx21.example.org"
    del full["to"]["host"]
    assert key_of(full) == b"10.0.9.21"


def test_a_record_that_is_too_large_leaves_the_others_alone() -> None:
    records = trees(50)
    records[7]["extra"] = {"much": "x" * 2_000_000}
    with KafkaCluster() as cluster:
        transport = Kafka(cluster.brokers, HOP)
        [refused] = deliver(transport, records)
        transport.close()
        stored = [value(each) for each in cluster.stored(TOPIC, 49)]
    assert (refused.index, refused.reason) == (7, "Message size too large")
    assert sorted(stored, key=lambda each: int(each["ts"])) == records[:7] + records[8:]


def kafka(port: int, **options: Any) -> Kafka:
    return Kafka(f"127.0.0.1:{port}", HOP, connect_timeout_s=1, ack_timeout_s=1.5, **options)


def test_a_broker_that_is_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = failure_of(kafka(port), trees(1))
    where = f"kafka 127.0.0.1:{port}"
    assert str(error) == f"{where}: connection refused"
    assert (error.written, error.final) == (0, False)


def test_a_broker_that_takes_bytes_and_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        error = failure_of(kafka(port), trees(1))
    where = f"kafka 127.0.0.1:{port}"
    assert str(error) == f"{where}: can be connected to, but no broker answers"
    assert (error.written, error.final) == (0, False)


def test_an_expired_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("127.0.0.1", expired=True)
    with python("otlp", tmp_path / "store", cert=pair.cert_file, key=pair.key_file) as receiver:
        error = failure_of(kafka(receiver.port, tls=TlsFiles(str(authority.certificate))), trees(1))
    where = f"kafka 127.0.0.1:{receiver.port}"
    assert str(error) == f"{where}: its certificate is not accepted: certificate has expired"
    assert error.final


def test_a_user_that_the_broker_does_not_know() -> None:
    with unbelieving_broker("Authentication failed: Invalid username or password") as port:
        error = failure_of(kafka(port, username="hoptap", password="other"), trees(1))
    assert "Authentication failed: Invalid username or password" in str(error)
    assert error.final


def test_options_that_the_library_does_not_know() -> None:
    error = failure_of(kafka(1, options={"acks": "some"}), trees(1))
    assert str(error).startswith("kafka 127.0.0.1:1: ")
    assert "acks" in str(error)
    assert error.final


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    nats = JetStream(Endpoint("127.0.0.1", 1, 1, 1), HOP)
    for transport, extra in ((kafka(1), "kafka"), (nats, "nats")):
        error = failure_of(transport, trees(1))
        assert str(error).endswith(f"is not installed: pip install 'hoptap[{extra}]'")
        assert error.final
