"""What a tap loses when its ring is full: exact in each session, also when that is over."""

import os
import signal
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sensor.bpf import Tap
from sensor.bpf import tap as tap_module
from sensor.bpf.programs import Programs
from tests.lab.talkers import interleaved
from tests.lab.talkers.peers import Server, python, started
from tests.tap_ring import CLOSE, DATA, TOTALS, Event, Heard, Ring, opened

pytestmark = pytest.mark.root

RING_BYTES = 1 << 16  # full after three events of the longest
WAIT_S = 10
SIZE = 400_000


@pytest.fixture(scope="module")
def small_ring() -> Iterator[Heard]:
    """Programs of their own, held by a tap of nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tap_module, "_shared", tap_module._Shared())
        patch.setattr(tap_module, "Programs", partial(Programs, RING_BYTES))
        with opened("no such process") as tap, Ring(tap.ring_fd, RING_BYTES) as ring:
            yield Heard(ring)


def wait(done: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < end_s, what
        time.sleep(0.01)


def heard_at_last(heard: Heard, tap: Tap) -> list[Event]:
    """With what there was no room for before."""
    heard.of(tap)
    tap.refresh()
    return heard.of(tap)


def missing(events: list[Event]) -> int:
    """Bytes that the events show to be lost, as the core counts them."""
    offsets: dict[tuple[int, int, int, int], int] = defaultdict(int)
    lost = 0
    for event in events:
        session = event.pid, event.session, event.generation
        if event.kind == DATA:
            reached = {event.direction: (event.offset, event.offset + event.size)}
        elif event.kind == TOTALS or (event.kind == CLOSE and event.session):
            reached = {way: (total, total) for way, total in enumerate(totals(event)[:2])}
        else:
            continue
        for way, (until, then) in reached.items():
            lost += max(until - offsets[*session, way], 0)
            offsets[*session, way] = max(then, offsets[*session, way])
    return lost


def totals(event: Event) -> tuple[int, ...]:
    return struct.unpack("=4Q", event.data)


def lost_bytes(tap: Tap) -> int:
    lost = tap.losses()
    return sum(count for name, count in lost.items() if name.endswith("_bytes"))


def test_a_session_that_closed_meanwhile(small_ring: Heard, server: Server) -> None:
    with started(*python("client", str(SIZE))) as client, opened(client.pid) as tap:
        client.speak(server.port)
        assert CLOSE not in {event.kind for event in small_ring.of(tap)}
        events = heard_at_last(small_ring, tap)
        assert lost_bytes(tap) > 0
        assert missing(events) == lost_bytes(tap)
        closed = events[-1]
        assert (closed.kind, totals(closed)[:2]) == (CLOSE, (len(f"{SIZE}\n") + SIZE, SIZE))
        assert sum(event.size for event in events if event.kind == DATA) + lost_bytes(tap) == sum(
            totals(closed)[:2]
        )


def test_a_session_that_was_lost_whole(small_ring: Heard, server: Server) -> None:
    """Nothing but its end says that it was."""
    sizes = ["20"] * 10  # of the least record, which then has no room
    with started(*python("interleaved", *sizes)) as client, opened(client.pid) as tap:
        client.speak(server.port)
        client.speak(server.port)
        events = heard_at_last(small_ring, tap)
        spoken = {event.generation for event in events if event.kind == DATA}
        lost = [each for each in events if each.kind == CLOSE and each.generation not in spoken]
        assert len(lost) >= interleaved.CONNECTIONS
        assert {totals(each) for each in lost} == {(10 * len("20\n") + 200, 200, 0, 0)}
        assert missing(events) == lost_bytes(tap)


def test_a_session_that_goes_silent(small_ring: Heard, server: Server) -> None:
    """It is open still, and says nothing more."""
    with started(*python("interleaved", str(SIZE))) as client, opened(client.pid) as tap:
        client.order(server.port)
        wait(lambda: tap.losses()["ring_bytes"] > 0, "a full ring")
        os.kill(client.pid, signal.SIGSTOP)
        events = heard_at_last(small_ring, tap)
        assert CLOSE not in {event.kind for event in events}
        assert TOTALS in {event.kind for event in events}
        assert missing(events) == lost_bytes(tap)
        client.kill()


def test_a_process_that_was_killed(small_ring: Heard, server: Server) -> None:
    """What its sessions lost comes before its end."""
    with started(*python("client", "20", str(SIZE * 20))) as client, opened(client.pid) as tap:
        client.order(server.port)
        wait(lambda: tap.losses()["ring_bytes"] > 0, "a full ring")
        client.kill()
        events = heard_at_last(small_ring, tap)
        assert [event.kind for event in events[-2:]] == [TOTALS, CLOSE]
        assert (events[-1].session, events[-1].pid) == (0, client.pid)
        assert missing(events) == lost_bytes(tap) > 0
