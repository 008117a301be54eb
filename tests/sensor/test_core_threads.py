"""A source and other threads than its own: what they may ask of it, and how they stop it."""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sensor import _core
from tests.conversation import Conversation, request, response
from tests.impair import Packet, write_pcap
from tests.sensor.core_events import CLIENT, SERVER, RawEvent, batches_of, packets_of, source_of

WAIT_S = 30.0  # only a failure waits as long


class Pipe:
    """A source that reads a pipe, in a thread of its own: it waits for as long as nothing comes."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.writer = os.open(path, os.O_RDWR)  # so that opening waits for nobody
        self.source = source_of(path)
        self.batches: queue.Queue[_core.Batch] = queue.Queue()
        self.thread = threading.Thread(target=self._fill, daemon=True)

    def _fill(self) -> None:
        for batch in batches_of(self.source, timeout_ms=50):
            self.batches.put(batch)

    def write(self, packets: list[Packet], path: Path) -> None:
        os.write(self.writer, write_pcap(path, packets).read_bytes())

    def read(self) -> Iterator[_core.Batch]:
        while True:
            batch = self.batches.get(timeout=WAIT_S)
            yield batch
            if batch.end:
                return

    def close(self) -> None:
        self.source.stop()
        self.thread.join(WAIT_S)
        os.close(self.writer)
        assert not self.thread.is_alive()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(tmp_path / "pipe.pcap")
    yield made
    made.close()


def refusal(call: Callable[[], object]) -> str:
    """What `call` is refused with, as soon as it is."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            call()
        except RuntimeError as error:
            return str(error)
    return "never refused"


def test_a_source_belongs_to_one_thread(pipe: Pipe) -> None:
    """While it fills; secrets() neither waits nor changes anything, so it tells when that is."""
    pipe.thread.start()
    assert refusal(pipe.source.secrets) == "a source belongs to one thread"
    assert pipe.source.counters()["packets"] == 0  # copies are for every thread
    assert pipe.source.gauges()["flows"] == 0


def test_fill_and_close_are_refused_while_filling(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path / "pipe.pcap")
    filled: list[_core.Batch] = []
    thread = threading.Thread(target=lambda: filled.append(pipe.source.fill(int(WAIT_S * 1000))))
    thread.start()
    assert refusal(pipe.source.secrets) == "a source belongs to one thread"
    for call in (lambda: pipe.source.fill(0), pipe.source.close):
        with pytest.raises(RuntimeError, match="a source belongs to one thread"):
            call()
    assert filled == []
    pipe.write(packets_of(1), tmp_path / "one.pcap")
    os.close(pipe.writer)
    thread.join(WAIT_S)
    assert len(filled) == 1 and filled[0].error is None
    assert len(filled[0]) == 3 if filled[0].end else len(filled[0]) <= 3
    pipe.source.close()


def test_stop_flushes(pipe: Pipe, tmp_path: Path) -> None:
    """A flow in the middle of its second request, and the writer still there."""
    talk = Conversation(CLIENT, 40_000, SERVER)
    talk.say(request("GET", "/done"))
    talk.answer(response(200))
    talk.say(request("GET", "/waiting"))
    pipe.write(talk.packets()[:-3], tmp_path / "talk.pcap")
    pipe.thread.start()
    found: list[RawEvent] = []
    for batch in pipe.read():
        found += batch
        if found:
            pipe.source.stop()
    assert batch.error is None
    assert [event[0] for event in found] == [
        _core.FLOW,
        _core.TRANSACTION,
        _core.TRANSACTION,
        _core.FLOW_END,
    ]
    assert [event[5][4:6] for event in found[1:3]] == [("/done", 200), ("/waiting", 0)]
    assert pipe.source.gauges()["flows"] == 0
