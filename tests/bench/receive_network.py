"""Forward, HEC, _bulk, OTLP, Kafka and JetStream into the receivers of the tests.

Those of HEC, _bulk and OTLP are servers of Python's standard library: they are the slower side.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exporters.bulk import Bulk
from exporters.endpoint import Endpoint
from exporters.formats.registry import FORMATS
from exporters.forward import Forward
from exporters.hec import Hec
from exporters.httpclient import HttpEndpoint
from exporters.jetstream import JetStream
from exporters.kafka import Kafka
from exporters.otlp import Otlp
from exporters.transport import Transport
from tests.bench.receivers import Measured, Start, receiver
from tests.exporters.receivers.kafka_cluster import KafkaCluster
from tests.exporters.receivers.nats_server import NatsServer
from tests.exporters.receivers.process import Receiver, fluent, python

HOP = FORMATS["hop"]
TOPIC = "hoptap.hop"


class CountIn:
    """How often a growing file has a text, read on from where the last count ended."""

    def __init__(self, path: Path, text: bytes = b"\n") -> None:
        self._path = path
        self._text = text
        self._rest = b""
        self._at = 0
        self._count = 0

    def __call__(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                while chunk := file.read(1 << 20):
                    self._at += len(chunk)
                    chunk = self._rest + chunk
                    self._count += chunk.count(self._text)
                    keep = len(self._text) - 1
                    self._rest = chunk[-keep:] if keep else b""
        return self._count


def into(
    server: Callable[[Path], Receiver], transport: Callable[[int], Transport], text: bytes = b"\n"
) -> Start:
    @contextmanager
    def start(directory: Path) -> Iterator[Measured]:
        with server(directory / "store") as running:
            count = CountIn(running.store, text)
            yield Measured(transport(running.port), count, running.cpu_s)

    return start


def forward(mode: str) -> Callable[[int], Transport]:
    return lambda port: Forward(Endpoint("127.0.0.1", port, 5, 30), HOP, mode=mode)


def http(port: int) -> HttpEndpoint:
    return HttpEndpoint(f"http://127.0.0.1:{port}")


for _mode in ("packed", "compressed", "forward", "message"):
    receiver(f"forward-{_mode}")(into(fluent, forward(_mode)))
receiver("hec")(
    into(
        lambda store: python("hec", store, ack=True),
        lambda port: Hec(http(port), FORMATS["splunk"], token="token"),
    )
)
receiver("elasticsearch")(
    into(lambda store: python("bulk", store), lambda port: Bulk(http(port), FORMATS["ecs"]))
)
receiver("otlp")(
    into(lambda store: python("otlp", store), lambda port: Otlp(http(port)), b'"severityNumber":')
)


@receiver("kafka")
@contextmanager
def kafka(directory: Path) -> Iterator[Measured]:
    with KafkaCluster() as cluster:
        yield Measured(Kafka(cluster.brokers, HOP), lambda: cluster.count(TOPIC))


@receiver("nats")
@contextmanager
def nats(directory: Path) -> Iterator[Measured]:
    with NatsServer(directory) as server:
        server.add_stream(TOPIC)
        transport = JetStream(Endpoint("127.0.0.1", server.port, 5, 30), HOP)
        yield Measured(transport, server.messages, server.cpu_s)
