"""Keys that come after their flow has ended, in packet time; and flows that end within a record."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sensor import _core
from sensor.keys import KEY_LOG
from sensor.settings import LimitSettings
from tests.conversation import Conversation
from tests.impair import Packet, write_pcap
from tests.sensor.core_events import events_of, everything, limits
from tests.tls_talk import TlsTalk, destroy, login

SECOND = 10**9
FLAGS_AT = 14 + 20 + 13  # in a frame: Ethernet, IPv4, TCP
RESET = 0x04
PCAP_HEADER_BYTES = 24


@pytest.fixture
def talk(tmp_path: Path) -> TlsTalk:
    talk = TlsTalk(tmp_path, Conversation("10.1.0.11", 40_000, "10.1.0.20", 443))
    talk.exchange(*login("bob", "Elm-Cloud-Brick-9"))
    return talk


class Fed:
    """A core that is given packets as they come."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "some.pcap"
        pipe = directory / "packets"
        os.mkfifo(pipe)
        self._writer = os.open(pipe, os.O_RDWR)
        write_pcap(self._file, [])
        os.write(self._writer, self._file.read_bytes())
        self.source = _core.Source(everything(), limits(), files=(str(pipe),), decrypt=True)
        self.transactions = 0

    def packets(self, packets: list[Packet]) -> None:
        write_pcap(self._file, packets)
        os.write(self._writer, self._file.read_bytes()[PCAP_HEADER_BYTES:])
        wanted = self.source.counters()["packets"] + len(packets)
        while self.source.counters()["packets"] < wanted:
            self.take()

    def take(self) -> None:
        kinds = [event[0] for event in self.source.fill(1)]
        self.transactions += kinds.count(_core.TRANSACTION)

    def close(self) -> None:
        self.source.close()
        os.close(self._writer)


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    fed = Fed(tmp_path)
    yield fed
    fed.close()


@pytest.mark.parametrize(("late_s", "opens"), [(0.5, True), (9.5, True), (10.5, False)])
def test_a_key_opens_a_flow_that_has_ended(
    fed: Fed, talk: TlsTalk, late_s: float, opens: bool
) -> None:
    packets = talk.flows[0].packets()
    fed.packets(packets)
    other = Conversation("10.1.0.12", 40_001, "10.1.0.20", 80).packets()[0]
    for part in (0.5, 1.0):  # time passes in steps, as other traffic comes
        time_ns = packets[0].time_ns + int(late_s * part * SECOND)
        fed.packets([replace(other, time_ns=max(time_ns, packets[-1].time_ns))])
    assert fed.transactions == 0
    assert fed.source.add_secrets(talk.keys.read_bytes(), KEY_LOG)
    fed.take()
    assert fed.transactions == opens
    expired = fed.source.counters()["tls_held_expired_bytes"]
    assert (expired == 0) == opens
    waited = {
        name.removeprefix("tls_key_waits"): count
        for name, count in fed.source.counters().items()
        if name.startswith("tls_key_waits") and count
    }
    within = {0.5: "_le_500ms", 9.5: "_le_10000ms"}
    assert waited == ({"": 1, within[late_s]: 1} if opens else {})


def test_a_closed_flow_is_kept_as_long_as_a_key_is_awaited() -> None:
    bounds = LimitSettings()
    assert bounds.flow_closed_timeout_ms >= bounds.tls_held_timeout_ms


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("missing_bytes", [1, 100])
def test_an_end_within_a_record_is_no_gap(
    talk: TlsTalk, tmp_path: Path, reset: bool, missing_bytes: int
) -> None:
    """A client that has enough, or a server that breaks off: nothing was sent that we missed."""
    talk.exchange(*destroy("vm-7"))
    flow = talk.flows[0]
    from_client, answered = flow.parts[-1]
    assert not from_client
    flow.parts[-1] = (False, answered[:-missing_bytes])
    packets = flow.packets()
    if reset:
        frame = bytearray(packets[-3].frame)
        frame[FLAGS_AT] |= RESET
        packets[-3:] = [replace(packets[-3], frame=bytes(frame))]
    source = _core.Source(
        everything(),
        limits(),
        files=(str(write_pcap(tmp_path / "capture.pcap", packets)),),
        decrypt=True,
    )
    assert source.add_secrets(talk.keys.read_bytes(), KEY_LOG)
    kinds = [event[0] for event in events_of(source)]
    assert kinds.count(_core.GAP) == 0
    assert kinds.count(_core.TRANSACTION) == 2  # the second lacks its answer
    assert source.counters()["tls_sessions_decrypted"] == 1
    ended = {row[:2]: row[2] for row in source.tls_sessions() if row[2]}
    assert ended == {("1.3", "decrypted"): 1}
    assert len(source.tls_sessions()) == 4 * 7
    source.close()
