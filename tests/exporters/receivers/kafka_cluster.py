"""The cluster that librdkafka simulates: three brokers of the real protocol, in this process."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from confluent_kafka import Consumer, Message, Producer, TopicPartition

READ_S = 60.0


class KafkaCluster:
    def __enter__(self) -> "KafkaCluster":
        settings = {"test.mock.num.brokers": 3, "bootstrap.servers": "simulated"}
        self._owner = Producer(settings, logger=logging.getLogger("simulated"))
        brokers = self._owner.list_topics(timeout=READ_S).brokers.values()
        self.brokers = ",".join(f"{each.host}:{each.port}" for each in brokers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner.flush(0)
        del self._owner

    def count(self, topic: str) -> int:
        """Messages that were ever stored."""
        with self._consumer() as consumer:
            ends = [consumer.get_watermark_offsets(each) for each in self._partitions(topic)]
        return sum(high for _, high in filter(None, ends))

    @contextmanager
    def reader(self, topic: str) -> Iterator["Reader"]:
        """Of all partitions, each from its beginning."""
        with self._consumer() as consumer:
            consumer.assign(self._partitions(topic))
            yield Reader(consumer)

    def _partitions(self, topic: str) -> list[TopicPartition]:
        known = self._owner.list_topics(topic, timeout=READ_S).topics[topic].partitions
        return [TopicPartition(topic, number, 0) for number in known]

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        settings = {"bootstrap.servers": self.brokers, "group.id": "reader"}
        consumer = Consumer(settings, logger=logging.getLogger("simulated"))
        try:
            yield consumer
        finally:
            consumer.close()

    def stored(self, topic: str, count: int) -> list[Message]:
        with self.reader(topic) as reader:
            reader.read_up_to(count)
            return reader.messages


class Reader:
    def __init__(self, consumer: Consumer) -> None:
        self.messages: list[Message] = []
        self._consumer = consumer

    def read_up_to(self, count: int) -> None:
        """A simulated partition keeps its last 5 MB: what is not read in time is gone."""
        give_up_at = time.monotonic() + READ_S
        while len(self.messages) < count:
            assert time.monotonic() < give_up_at, f"{len(self.messages)} messages, not {count}"
            for message in self._consumer.consume(count - len(self.messages), 0.1):
                assert message.error() is None, message.error()
                self.messages.append(message)
