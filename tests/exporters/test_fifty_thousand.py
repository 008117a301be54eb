"""Fifty thousand records to each receiver on the network: each arrives, and is what was sent."""

import gc
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.bulk import Bulk
from exporters.endpoint import Endpoint
from exporters.forward import Forward
from exporters.hec import Hec
from exporters.httpclient import HttpEndpoint
from exporters.jetstream import JetStream
from exporters.kafka import Kafka
from exporters.otlp import Otlp
from exporters.transport import Transport
from tests.exporters.delivering import deliver
from tests.exporters.receivers.kafka_cluster import KafkaCluster
from tests.exporters.receivers.nats_server import NatsServer
from tests.exporters.receivers.otlp import bodies_of
from tests.exporters.receivers.process import Receiver, fluent, python
from tests.exporters.sample import HOP, as_javascript
from tests.lab.manyrecords import many

RECORDS = 50_000
Trees = list[dict[str, Any]]


@pytest.fixture(scope="module")
def records() -> Iterator[Trees]:
    made = many(RECORDS)
    gc.disable()  # it would walk through a million dicts, and none of them is garbage
    yield made
    gc.enable()


def send_all(transport: Transport, records: Trees) -> None:
    assert deliver(transport, records) == []
    transport.close()


def assert_equal(stored: Iterable[Any], records: Trees) -> None:
    """Each once; brokers and indexers may have an order of their own."""
    by_id = {record["id"]: record for record in records}
    count = 0
    for document in stored:
        assert document == by_id.pop(document["id"])
        count += 1
    assert (count, by_id) == (len(records), {})


def http(receiver: Receiver) -> HttpEndpoint:
    return HttpEndpoint(f"http://127.0.0.1:{receiver.port}")


@pytest.mark.server
@pytest.mark.parametrize(
    ("mode", "count"),
    [("packed", RECORDS), ("compressed", 5000), ("message", 5000), ("forward", 5000)],
)
def test_forward(mode: str, count: int, records: Trees, tmp_path: Path) -> None:
    with fluent(tmp_path / "store") as receiver:
        endpoint = Endpoint("127.0.0.1", receiver.port, 5, 30)
        send_all(Forward(endpoint, HOP, mode=mode), records[:count])
    wanted = ((list(divmod(each["ts"], 10**9)), as_javascript(each)) for each in records[:count])
    for line, (time, record) in zip(receiver.stored(), wanted, strict=True):
        assert (line["tag"], line["time"]) == ("hoptap.hop", time)
        assert as_javascript(line["record"]) == record


def test_hec(records: Trees, tmp_path: Path) -> None:
    with python("hec", tmp_path / "store", ack=True) as receiver:
        send_all(Hec(http(receiver), HOP, token="token"), records)
    assert_equal((line["event"] for line in receiver.stored()), records)


def test_bulk(records: Trees, tmp_path: Path) -> None:
    with python("bulk", tmp_path / "store") as receiver:
        send_all(Bulk(http(receiver), HOP), records)

    def sources() -> Iterator[Any]:
        for line in receiver.stored():
            del line["_source"]["@timestamp"]
            yield line["_source"]

    assert_equal(sources(), records)


def test_otlp(records: Trees, tmp_path: Path) -> None:
    with python("otlp", tmp_path / "store") as receiver:
        send_all(Otlp(http(receiver)), records)

    assert_equal(bodies_of(receiver.stored()), records)


def test_kafka(records: Trees) -> None:
    with KafkaCluster() as cluster:
        transport = Kafka(cluster.brokers, HOP)
        with cluster.reader("hoptap.hop") as reader:

            def read(safe: int) -> None:
                if safe % 2048 == 0 or safe == RECORDS:
                    reader.read_up_to(safe)

            assert deliver(transport, records, between=read) == []
        transport.close()
    assert_equal((json.loads(each.value() or b"") for each in reader.messages), records)


@pytest.mark.server
def test_jetstream(records: Trees, tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        server.add_stream("hoptap.hop")
        send_all(JetStream(Endpoint("127.0.0.1", server.port, 5, 30), HOP), records)
        stored = server.stored(RECORDS)
    assert_equal((json.loads(data) for _, data in stored), records)
