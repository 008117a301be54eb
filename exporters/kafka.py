"""Records to a Kafka topic, by an idempotent producer of confluent-kafka (extra `kafka`).

A record is safe when all in-sync replicas have it (acks=all). Those of one chain share a partition.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from exporters.endpoint import Endpoint, TlsFiles, connect
from exporters.formats.format import Format
from exporters.outbox import SinkError
from exporters.payload import one_line, payload_of
from exporters.transport import Refused, Tree

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

TOPIC = "hoptap.hop"
QUEUE_RECORDS = 100_000  # of the library; a batch is far less
PURGE_S = 1.0
POLL_S = 0.1
# Of the record itself: no broker takes it, however often it is sent.
REFUSALS = ("MSG_SIZE_TOO_LARGE", "INVALID_MSG", "INVALID_RECORD", "INVALID_MSG_SIZE")
# What somebody has to mend at the broker or in our settings.
FINAL = (
    "_AUTHENTICATION", "_SSL", "SASL_AUTHENTICATION_FAILED", "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "_UNKNOWN_TOPIC",
    "UNKNOWN_TOPIC_OR_PART", "TOPIC_EXCEPTION",
)  # fmt: skip
OF_A_CONNECTION = ("_TRANSPORT", "_SSL", "_RESOLVE", "_ALL_BROKERS_DOWN", "_MSG_TIMED_OUT")
_NOISE = re.compile(
    r"^(?:\[thrd:[^\]]*\]: )?(?:\S+/(?:bootstrap|\d+): )?"
    r"(?:Unable to produce message: )?(?:Broker: )?"
)


class Kafka:
    """One cluster. `brokers` as HOST:PORT, comma separated.

    A password is sent as SASL PLAIN within TLS; without, SCRAM-SHA-512 does not show it.
    """

    acknowledges = True

    def __init__(
        self,
        brokers: str,
        format: Format,
        *,
        topic: str = TOPIC,
        tls: TlsFiles | None = None,
        username: str = "",
        password: str = "",
        compress: bool = False,
        connect_timeout_s: float = 5.0,
        ack_timeout_s: float = 30.0,
        options: Mapping[str, str | int] = {},
    ) -> None:
        """`options` are librdkafka's own, and win."""
        self._where = f"kafka {brokers}"
        self._brokers = brokers
        self._tls = tls
        self._format = format
        self._topic = topic
        self._connect_timeout_s = connect_timeout_s
        self._ack_timeout_s = ack_timeout_s
        self._options: dict[str, Any] = {
            "bootstrap.servers": brokers,
            "client.id": "hoptap",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "gzip" if compress else "none",
            "linger.ms": 5,
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "message.timeout.ms": round(ack_timeout_s * 1000),
            "socket.connection.setup.timeout.ms": max(1000, round(connect_timeout_s * 1000)),
            "topic.metadata.propagation.max.ms": 2000,  # else an unknown topic is told after 30 s
            **_security(tls, username, password),
            **options,
        }
        self._producer: Producer | None = None
        self._trouble: KafkaError | None = None  # the last error of a connection

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        producer = self._started()
        reports = _Reports()
        try:
            self._produce(producer, records, reports)
            self._await(producer, reports, len(records))
        except SinkError as error:
            error.written = reports.written()
            self._abandon()
            raise
        return [Refused(number, _plain(error)) for number, error in sorted(reports.refused.items())]

    def probe(self) -> str:
        """The cluster's answer to a question for our topic."""
        from confluent_kafka import KafkaException

        producer = self._started()
        try:
            metadata = producer.list_topics(self._topic, timeout=self._connect_timeout_s)
        except KafkaException as error:
            producer.poll(0)
            raise self._error(self._trouble or error.args[0]) from None
        topic = metadata.topics[self._topic]
        if topic.error is not None:
            raise self._error(topic.error)
        partitions = len(topic.partitions)
        return f"{self._where}: topic {self._topic} has {partitions} partitions"

    def close(self) -> None:
        self._abandon()

    def _started(self) -> "Producer":
        if self._producer is None:
            try:
                from confluent_kafka import KafkaException, Producer
            except ImportError:
                line = "the Kafka client is not installed: pip install 'hoptap[kafka]'"
                raise SinkError(line, final=True) from None
            callbacks = {"error_cb": self._note_trouble, "logger": _silent()}
            try:
                self._producer = Producer({**self._options, **callbacks})
            except KafkaException as error:
                text = one_line(error.args[0].str())
                raise SinkError(f"{self._where}: {text}", final=True) from None
        self._trouble = None
        return self._producer

    def _note_trouble(self, error: "KafkaError") -> None:
        if error.name() != "_ALL_BROKERS_DOWN" or self._trouble is None:
            self._trouble = error  # "all down" only repeats what the last broker said

    def _produce(self, producer: "Producer", records: Sequence[Tree], reports: "_Reports") -> None:
        from confluent_kafka import KafkaException

        for number, record in enumerate(records):
            identity = str(record.get("id", ""))
            try:
                producer.produce(
                    self._topic,
                    value=payload_of(self._format, record),
                    key=key_of(record),
                    headers=[("hoptap-id", identity.encode())],
                    timestamp=max(0, int(record["ts"])) // 1_000_000,
                    on_delivery=partial(reports.note, number),
                )
            except KafkaException as error:
                reports.note(number, error.args[0])
            except BufferError:  # a batch of more than QUEUE_RECORDS: the rest is sent again
                return

    def _await(self, producer: "Producer", reports: "_Reports", count: int) -> None:
        """Until all are told. The library gives each up at `message.timeout.ms` by itself."""
        give_up_at = time.monotonic() + self._ack_timeout_s + PURGE_S
        told, moved_at = reports.count(), time.monotonic()
        while len(producer) and time.monotonic() < give_up_at:
            producer.poll(POLL_S)
            if reports.count() > told:
                told, moved_at, self._trouble = reports.count(), time.monotonic(), None
            # Nothing arrives: said soon, as other transports do, not at the message's timeout.
            if self._trouble is not None and (
                self._trouble.fatal()
                or self._trouble.name() in FINAL
                or time.monotonic() - moved_at > self._connect_timeout_s
            ):
                raise self._error(self._trouble)
        if reports.failed:
            raise self._error(self._explained(reports.failed[min(reports.failed)]))
        if reports.count() < count:
            raise SinkError(f"{self._where}: not acknowledged in {self._ack_timeout_s:g} s")

    def _explained(self, error: "KafkaError") -> "KafkaError":
        """A time-out says less than what the connection broke at."""
        timed_out = error.name() in ("_MSG_TIMED_OUT", "_TIMED_OUT", "_PURGE_QUEUE")
        return self._trouble if timed_out and self._trouble is not None else error

    def _error(self, error: "KafkaError") -> SinkError:
        name = error.name()
        if name in OF_A_CONNECTION and (found := self._connection_error()):
            return found
        if name in ("_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"):
            return SinkError(f"{self._where}: has no topic {self._topic}", final=True)
        if name in ("_MSG_TIMED_OUT", "_TIMED_OUT"):
            return SinkError(f"{self._where}: no acknowledgement in {self._ack_timeout_s:g} s")
        if name == "_ALL_BROKERS_DOWN":
            return SinkError(f"{self._where}: can be connected to, but no broker answers")
        return SinkError(f"{self._where}: {_plain(error)}", final=name in FINAL or error.fatal())

    def _connection_error(self) -> SinkError | None:
        """Why a broker cannot be connected to, which the library tells in part only."""
        timeout_s = self._connect_timeout_s
        for host, port in _addresses(self._brokers):
            try:
                connect(Endpoint(host, port, timeout_s, timeout_s, self._tls), "kafka").close()
            except SinkError as error:
                return error
        return None

    def _abandon(self) -> None:
        """Forget what is not delivered: it is sent again, by another producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(PURGE_S)


class _Reports:
    """What became of the records of a batch, by number."""

    def __init__(self) -> None:
        self.delivered: set[int] = set()
        self.refused: dict[int, KafkaError] = {}
        self.failed: dict[int, KafkaError] = {}

    def note(
        self, number: int, error: "KafkaError | None", message: "Message | None" = None
    ) -> None:
        if error is None:
            self.delivered.add(number)
        elif error.name() in REFUSALS:
            self.refused[number] = error
        else:
            self.failed[number] = error

    def count(self) -> int:
        return len(self.delivered) + len(self.refused) + len(self.failed)

    def written(self) -> int:
        """Records from the first on that the cluster has."""
        count = 0
        while count in self.delivered:
            count += 1
        return count


def key_of(record: Tree) -> bytes:
    """What keeps records together and in order: their chain, else the server that was talked to."""
    chain, to = record.get("chain") or {}, record.get("to") or {}
    key = chain.get("id") or to.get("host") or to.get("ip") or record.get("id") or ""
    return str(key).encode("utf-8", "backslashreplace")


def _addresses(brokers: str) -> Iterator[tuple[str, int]]:
    for each in brokers.split(","):
        host, _, port = each.strip().rpartition(":")
        if host and port.isdecimal():
            yield host.strip("[]"), int(port)


def _security(tls: TlsFiles | None, username: str, password: str) -> dict[str, str]:
    protocol = ("SASL_" if username else "") + ("SSL" if tls else "PLAINTEXT")
    chosen = {"security.protocol": protocol}
    if username:
        mechanism = "PLAIN" if tls else "SCRAM-SHA-512"
        chosen |= {
            "sasl.mechanisms": mechanism,
            "sasl.username": username,
            "sasl.password": password,
        }
    if tls is not None:
        files = {
            "ssl.ca.location": tls.ca_file,
            "ssl.certificate.location": tls.cert_file,
            "ssl.key.location": tls.key_file or tls.cert_file,
        }
        chosen |= {name: path for name, path in files.items() if path}
        chosen["ssl.endpoint.identification.algorithm"] = "https"
    return chosen


def _plain(error: "KafkaError") -> str:
    """librdkafka's text, without its thread, its internal names and its timing."""
    text = _NOISE.sub("", error.str() or error.name())
    return one_line(text.split(" (after ")[0])


def _silent() -> logging.Logger:
    """The library would log every attempt: what matters of it leaves as one SinkError."""
    logger = logging.getLogger("hoptap.librdkafka")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
