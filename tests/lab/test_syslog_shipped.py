"""The rsyslog configuration that ships, killed on the way; rsyslog parses every record."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from exporters.endpoint import Endpoint
from exporters.formats.rfc5424 import RFC5424, leaves, sentence
from exporters.relp import Relp
from tests.certificates import Authority
from tests.exporters.delivering import deliver
from tests.lab.manyrecords import many
from tests.lab.receivers import running, shipped_rsyslog, wait_until
from tests.records import SENSOR

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("rsyslogd") is None, reason="no rsyslog"),
]


def test_rsyslog_as_shipped(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    records = many(5000)
    with running(shipped_rsyslog(tmp_path, authority.issue("localhost"))) as receiver:

        def kill() -> None:
            wait_until(lambda: receiver.stored_bytes("relp-tls") > 3_000_000, 20, receiver.said)
            receiver.kill()
            receiver.start()

        tls = authority.issue("sensor.example.org")
        transport = Relp(Endpoint("localhost", receiver.ports["relp-tls"], 5, 10, tls), RFC5424)
        killer = threading.Thread(target=kill)
        killer.start()
        assert deliver(transport, records) == []
        killer.join()
        transport.close()
        lines = receiver.await_lines("relp-tls", len(records))
    stored = {body["record"]["id"]: body for body in map(json.loads, lines)}
    assert len(lines) - len(records) <= 128  # the window that was on its way
    assert [stored[record["id"]]["record"] for record in records] == [
        dict(leaves(record)) for record in records
    ]
    assert all(
        stored[record["id"]]["text"] == sentence(record)
        and stored[record["id"]]["sensor"] == SENSOR.id
        for record in records
    )
