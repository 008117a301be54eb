"""Real receivers that are killed, stopped, down, or that trust somebody else."""

import re
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exporters.endpoint import Endpoint, TlsFiles
from exporters.formats.rfc5424 import RFC5424
from exporters.outbox import SinkError
from exporters.relp import Relp
from exporters.syslog import Syslog
from exporters.transport import Transport, Tree
from tests.certificates import Authority
from tests.exporters.delivering import deliver
from tests.lab.manyrecords import many
from tests.lab.receivers import Receiver, rsyslog, running, wait_until

CLIENT = "sensor.example.org"
IDENTITY = re.compile(rb' id="([^"]+)"')
SEQUENCE = re.compile(rb'sequenceId="(\d+)"')

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("rsyslogd") is None, reason="no rsyslog"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Receiver]:
    """For tests that leave it as it was."""
    made = rsyslog(tmp_path_factory.mktemp("shared"), authority.issue("localhost"), CLIENT)
    with running(made) as receiver:
        yield receiver


@pytest.fixture
def own(tmp_path: Path, authority: Authority) -> Iterator[Receiver]:
    """One that acknowledges what is in its file, not what is in its memory."""
    made = rsyslog(tmp_path, authority.issue("localhost"), CLIENT, queue='type="Direct"')
    with running(made) as receiver:
        yield receiver


def transport_to(
    receiver: Receiver, name: str, tls: TlsFiles | None = None, ack_timeout_s: float = 10
) -> Transport:
    host = "localhost" if tls else "127.0.0.1"
    endpoint = Endpoint(host, receiver.ports[name], 2, ack_timeout_s, tls)
    return Relp(endpoint, RFC5424) if "relp" in name else Syslog(endpoint, name, RFC5424)


def line_of(transport: Transport, records: Sequence[Tree]) -> str:
    with pytest.raises(SinkError) as caught:
        transport.send(records)
    transport.close()
    assert caught.value.written == 0
    assert "\n" not in str(caught.value)
    return ("final: " if caught.value.final else "") + str(caught.value)


def identities(receiver: Receiver, name: str) -> list[str]:
    return [found[1].decode() for line in receiver.lines(name) if (found := IDENTITY.search(line))]


@pytest.mark.parametrize("name", ["relp", "relp-tls"])
def test_relp_loses_nothing_when_the_receiver_is_killed(
    own: Receiver, authority: Authority, name: str
) -> None:
    records = many(8000)

    def stores_more_than(bytes_: int) -> bool:
        return own.stored_bytes(name) > bytes_

    def kill_now_and_then() -> None:
        for enough_bytes in (2_500_000, 5_000_000, 7_500_000):  # of some twelve million
            wait_until(partial(stores_more_than, enough_bytes), 20, own.said)
            own.kill()
            own.start()

    killer = threading.Thread(target=kill_now_and_then)
    transport = transport_to(own, name, authority.issue(CLIENT) if "tls" in name else None)
    told: list[int] = []
    killer.start()
    assert deliver(transport, records, between=told.append) == []
    killer.join()
    transport.close()
    found = identities(own, name)
    assert set(found) == {record["id"] for record in records}
    # What was on its way came again: no more than a window for each time it was killed.
    assert len(found) - len(records) <= 3 * 128
    assert told[-1] == len(records)


def test_tcp_loses_what_a_killed_receiver_had_not_read(own: Receiver) -> None:
    """The receiver's kernel had it, so to the sender it was delivered. The numbers show the gap."""
    records = many(2000)
    transport = transport_to(own, "tcp")
    transport.send(records[:1000])
    own.await_lines("tcp", 1000)
    assert own.process is not None
    own.process.send_signal(signal.SIGSTOP)
    transport.send(records[1000:1040])  # its kernel holds some 80 messages before it reads
    own.kill()
    own.start()
    deliver(transport, records[1040:])
    transport.close()
    lines = own.await_lines("tcp", 1960)
    assert identities(own, "tcp") == [record["id"] for record in records[:1000] + records[1040:]]
    numbers = [int(found[1]) for line in lines if (found := SEQUENCE.search(line))]
    # 1001 to 1040 are missing, and a batch that failed at once was sent anew under new numbers.
    assert numbers[:1000] == list(range(1, 1001))
    assert numbers[1000:] == list(range(numbers[1000], numbers[1000] + 960))
    assert numbers[1000] > 1040


@pytest.mark.parametrize("name", ["udp", "tcp", "tls", "relp", "relp-tls"])
def test_a_receiver_that_is_down(tmp_path: Path, authority: Authority, name: str) -> None:
    server = authority.issue("localhost")
    receiver = rsyslog(tmp_path, server, CLIENT)  # not started
    tls = authority.issue(CLIENT) if "tls" in name else None
    transport = transport_to(receiver, name, tls)
    protocol = "relp" if "relp" in name else f"syslog {name}"
    where = f"{protocol} {'localhost' if tls else '127.0.0.1'}:{receiver.ports[name]}"
    assert line_of(transport, many(2)) == f"{where}: connection refused"


@pytest.mark.parametrize("name", ["tls", "relp-tls"])
def test_who_trusts_whom(
    shared: Receiver, authority: Authority, stranger: Authority, name: str
) -> None:
    """One line each, that names the receiver and what is wrong. Nobody's record is stored."""
    mine = authority.issue(CLIENT)
    expired = authority.issue(CLIENT, expired=True)
    closed = "the receiver closed the connection right after the handshake: "
    closed += "is our certificate accepted?"
    protocol = "relp" if "relp" in name else "syslog tls"
    where = f"{protocol} localhost:{shared.ports[name]}: "
    untrusted = "its certificate is not accepted: unable to get local issuer certificate"
    wrong_name = "its certificate is not accepted: Hostname mismatch, certificate is not valid for "
    cases = {
        "authority": (
            replace(mine, ca_file=str(stranger.certificate)),
            f"final: {where}{untrusted}",
        ),
        "name": (replace(mine, name="siem"), f"final: {where}{wrong_name}'siem'"),
        "stranger": (replace(stranger.issue(CLIENT), ca_file=mine.ca_file), where + closed),
        "other client": (authority.issue("other.example.org"), where + closed),
        "expired client": (expired, where + closed),
        "no client": (TlsFiles(mine.ca_file), where + closed),
    }
    records = many(2)
    found = {
        case: line_of(transport_to(shared, name, files), records)
        for case, (files, _) in cases.items()
    }
    assert found == {case: line for case, (_, line) in cases.items()}
    good = transport_to(shared, name, mine)
    assert list(good.send(records)) == []
    good.close()
    shared.await_lines(name, 2)
    assert identities(shared, name) == [record["id"] for record in records]


@pytest.mark.parametrize("name", ["tls", "relp-tls"])
def test_the_receivers_certificate_has_expired(
    tmp_path: Path, authority: Authority, name: str
) -> None:
    made = rsyslog(tmp_path, authority.issue("localhost", expired=True), CLIENT)
    with running(made) as receiver:
        line = line_of(transport_to(receiver, name, authority.issue(CLIENT)), many(2))
    protocol = "relp" if "relp" in name else "syslog tls"
    where = f"{protocol} localhost:{receiver.ports[name]}"
    assert line == f"final: {where}: its certificate is not accepted: certificate has expired"


def test_a_receiver_that_accepts_and_does_no_more(own: Receiver) -> None:
    """Its kernel goes on accepting connections and bytes."""
    assert own.process is not None
    own.process.send_signal(signal.SIGSTOP)
    try:
        line = line_of(transport_to(own, "relp", ack_timeout_s=0.5), many(2))
        where = f"relp 127.0.0.1:{own.ports['relp']}"
        assert line == f"{where}: no acknowledgement within 0.5 s"
        transport = transport_to(own, "tcp", ack_timeout_s=0.5)
        with pytest.raises(SinkError) as caught:
            for _ in range(20):  # 30 MB: more than two kernels hold
                transport.send(many(1000))
        where = f"syslog tcp 127.0.0.1:{own.ports['tcp']}"
        assert str(caught.value) == f"{where}: left our bytes unread for 0.5 s"
        transport.close()
    finally:
        own.process.send_signal(signal.SIGCONT)


def test_relp_loses_nothing_of_a_receiver_that_hangs_and_is_killed(own: Receiver) -> None:
    """Bytes that its kernel took and nobody read are not acknowledged, and come again."""
    records = many(1000)
    transport = transport_to(own, "relp", ack_timeout_s=0.5)
    assert list(transport.send(records[:100])) == []
    assert own.process is not None
    own.process.send_signal(signal.SIGSTOP)
    with pytest.raises(SinkError, match="no acknowledgement") as caught:
        transport.send(records[100:])
    own.kill()
    own.start()
    assert deliver(transport, records[100 + caught.value.written :]) == []
    transport.close()
    assert set(identities(own, "relp")) == {record["id"] for record in records}
