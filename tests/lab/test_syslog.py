"""Fifty thousand records through real receivers; each is read back from what they stored."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from exporters.endpoint import Endpoint, TlsFiles
from exporters.formats.format import Format
from exporters.formats.rfc5424 import RFC5424, leaves, message, sentence
from exporters.relp import Relp
from exporters.syslog import Syslog
from exporters.transport import Transport
from tests.certificates import Authority
from tests.lab.manyrecords import MANY, many
from tests.lab.receivers import Receiver, has_syslog_ng, rsyslog, running, syslog_ng
from tests.lab.syslogtext import read, read_elements
from tests.records import SENSOR

BATCH_RECORDS = 512
CLIENT = "sensor.example.org"
HOP = Format("hop", dict)
SEQUENCE = re.compile(rb'\[meta sequenceId="(\d+)"\]')

pytestmark = pytest.mark.server


@dataclass(frozen=True, slots=True)
class Lab:
    receiver: Receiver
    client: TlsFiles

    def transport(self, name: str, format: Format = RFC5424) -> Transport:
        """To the receiver's input of this name."""
        tls = self.client if name.endswith("tls") else None
        host = "localhost" if tls else "127.0.0.1"
        endpoint = Endpoint(host, self.receiver.ports[name], 5, 20, tls)
        return Relp(endpoint, format) if "relp" in name else Syslog(endpoint, name, format)


@pytest.fixture(scope="module")
def to_rsyslog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if shutil.which("rsyslogd") is None:
        pytest.skip("no rsyslog")
    directory = tmp_path_factory.mktemp("rsyslog")
    authority = Authority(directory / "authority")
    with running(rsyslog(directory, authority.issue("localhost"), CLIENT)) as receiver:
        yield Lab(receiver, authority.issue(CLIENT))


@pytest.fixture(scope="module")
def to_syslog_ng(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if not has_syslog_ng():
        pytest.skip("no syslog-ng")
    directory = tmp_path_factory.mktemp("syslog-ng")
    authority = Authority(directory / "authority")
    with running(syslog_ng(directory, authority.issue("localhost"))) as receiver:
        yield Lab(receiver, authority.issue(CLIENT))


@cache
def records() -> list[dict[str, Any]]:
    return many()


@cache
def stored_texts() -> list[bytes]:
    """What follows the header in each record's message, which reads back as the record."""
    found = []
    for record in records():
        data = message(record)
        found.append(data[data.index(b"[") :])
    for record, text in zip(records()[:2000], found, strict=False):
        elements, _ = read_elements(text.decode())
        assert elements["hop@32473"] == leaves(record)
    return found


def send_all(transport: Transport) -> None:
    for at in range(0, MANY, BATCH_RECORDS):
        assert list(transport.send(records()[at : at + BATCH_RECORDS])) == []
    transport.close()


@pytest.mark.parametrize("name", ["tcp", "tls", "relp", "relp-tls"])
def test_rsyslog_stores_every_record(to_rsyslog: Lab, name: str) -> None:
    send_all(to_rsyslog.transport(name))
    lines = to_rsyslog.receiver.await_lines(name, MANY)
    # rsyslog leaves out the space before MSG
    texts = [SEQUENCE.sub(b"", line).replace(b"]\xef\xbb\xbf", b"] \xef\xbb\xbf") for line in lines]
    assert texts == stored_texts()
    numbers = [int(found[1]) for line in lines if (found := SEQUENCE.search(line))]
    assert numbers == ([] if "relp" in name else list(range(1, MANY + 1)))


def test_rsyslog_over_udp_what_is_missing_is_known(to_rsyslog: Lab) -> None:
    """UDP promises nothing: each message that arrived is whole, and the numbers tell the others."""
    send_all(to_rsyslog.transport("udp"))
    lines = to_rsyslog.receiver.await_lines("udp", MANY, timeout_s=5)
    expected = stored_texts()
    numbers = []
    for line in lines:
        found = SEQUENCE.search(line)
        assert found is not None
        numbers.append(int(found[1]))
        text = SEQUENCE.sub(b"", line).replace(b"]\xef\xbb\xbf", b"] \xef\xbb\xbf")
        assert text == expected[numbers[-1] - 1]
    assert len(set(numbers)) == len(numbers)
    lost = set(range(1, MANY + 1)) - set(numbers)
    assert len(lost) <= MANY // 10, f"{len(lost)} of {MANY} lost, paced for this receiver"


def test_json_as_text_through_rsyslog(to_rsyslog: Lab) -> None:
    """Another format goes into MSG, byte by byte; rsyslog's file `tcp` has others before it."""
    before = len(to_rsyslog.receiver.lines("tcp"))
    transport = to_rsyslog.transport("tcp", HOP)
    transport.send(records()[:1000])
    transport.close()
    lines = to_rsyslog.receiver.await_lines("tcp", before + 1000)[before:]
    bodies = [json.loads(line.partition(b"]")[2]) for line in lines]
    assert bodies == records()[:1000]


def parsed_by_syslog_ng(record: dict[str, Any]) -> dict[str, Any]:
    """The record as syslog-ng writes its structured data: nested by the dots, every leaf a text."""
    nested: dict[str, Any] = {}
    for path, value in leaves(record):
        *parents, leaf = path.split(".")
        at = nested
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = value
    return nested


@pytest.mark.parametrize("name", ["tcp", "tls"])
def test_syslog_ng_parses_every_record(to_syslog_ng: Lab, name: str) -> None:
    send_all(to_syslog_ng.transport(name))
    lines = to_syslog_ng.receiver.await_lines(name, MANY)
    assert len(lines) == MANY
    for number, (line, record) in enumerate(zip(lines, records(), strict=True), 1):
        body = json.loads(line)
        data = body.pop("_SDATA")
        assert data.pop("hop@32473") == parsed_by_syslog_ng(record)
        assert data["meta"] == {"sequenceId": str(number)}
        assert body == {"text": sentence(record), "host": SENSOR.id, "kind": "action"}


def test_the_receivers_answer_to_a_probe(to_rsyslog: Lab) -> None:
    for name, said in (
        ("udp", "no answer is expected"),
        ("tcp", "connected; the protocol has no acknowledgement"),
        ("tls", "connected; the protocol has no acknowledgement"),
        ("relp", "200 OK"),
        ("relp-tls", "200 OK"),
    ):
        transport = to_rsyslog.transport(name)
        assert transport.probe().endswith(f"{to_rsyslog.receiver.ports[name]}: {said}")
        transport.close()


def test_a_large_record_is_cut_for_udp(to_rsyslog: Lab) -> None:
    before = len(to_rsyslog.receiver.lines("udp"))
    record = {**records()[0], "fault": '\u00e9"]' * 3000, "extra": {"a": "x" * 500}}
    transport = to_rsyslog.transport("udp")
    assert list(transport.send([record])) == []
    transport.close()
    line = to_rsyslog.receiver.await_lines("udp", before + 1)[before]
    elements, _ = read_elements(line.decode())
    found = dict(elements["hop@32473"])
    assert found["id"] == record["id"] and int(found["cut"]) > 0
    assert record["fault"].startswith(found["fault"]) and len(found["fault"]) > 100
    assert read(message(record, bytes_max=2048, sequence=1)).elements == elements
