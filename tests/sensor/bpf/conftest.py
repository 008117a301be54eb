"""What every test of taps needs: loaded programs, and someone to speak with."""

from collections.abc import Iterator

import pytest

from sensor.bpf import Tap, missing
from sensor.bpf.programs import RING_BYTES
from tests.lab.talkers import peers
from tests.lab.talkers.peers import Server
from tests.tap_ring import Heard, Ring


@pytest.fixture(scope="module")
def heard() -> Iterator[Heard]:
    """A tap that waits for a process that never comes keeps the programs loaded."""
    lacking = missing()
    if lacking:
        pytest.skip("; ".join(each.what for each in lacking))
    holder = Tap(63, "no-such-name")
    holder.open()
    with Ring(holder.ring_fd, RING_BYTES) as ring:
        yield Heard(ring)
    holder.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(peers.certificate(tmp_path_factory.mktemp("server")))
    yield server
    server.close()
