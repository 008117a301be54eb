"""From spools to receivers on the network, while the sensor, then each receiver, is killed."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sensor.records import as_dict
from tests.command import ROOT
from tests.exporters.receivers.nats_server import NatsServer
from tests.exporters.receivers.otlp import bodies_of
from tests.exporters.receivers.process import Receiver, python
from tests.lab.manyrecords import as_records
from tests.lab.receivers import wait_until
from tests.records import identity

RECORDS = 6_000
SINK = """
[[sink]]
id = "{type}"
type = "{type}"
to = "{to}"
format = "hop"
batch_records_max = 128
ack_timeout_ms = 3000
"""

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("nats-server") is None, reason="no nats-server"),
]


def start_sensor(config: Path, first: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.lab.spooling", str(config), str(first), str(RECORDS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def spooled_by(sensor: "subprocess.Popen[bytes]") -> int:
    """What it said last, once it is gone."""
    assert sensor.stdout is not None
    with sensor.stdout:
        said = sensor.stdout.read().split(b"\n")[:-1]
    sensor.wait(60)
    return int(said[-1]) if said else 0


def test_what_a_spool_took_arrives(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("token\n")
    token.chmod(0o600)
    forward = python("forward", tmp_path / "forward.ndjson")
    hec = python("hec", tmp_path / "hec.ndjson", ack=True)
    bulk = python("bulk", tmp_path / "bulk.ndjson")
    otlp = python("otlp", tmp_path / "otlp.ndjson")
    with forward, hec, bulk, otlp, NatsServer(tmp_path) as nats:
        nats.add_stream("hoptap.hop")
        config = tmp_path / "hoptap.toml"
        config.write_text(
            f'[sensor]\ndata_dir = "{tmp_path}/state"\n'
            + SINK.format(type="forward", to=f"127.0.0.1:{forward.port}")
            + SINK.format(type="hec", to=f"http://127.0.0.1:{hec.port}")
            + f'token_file = "{token}"\n'
            + SINK.format(type="elasticsearch", to=f"http://127.0.0.1:{bulk.port}")
            + SINK.format(type="otlp", to=f"http://127.0.0.1:{otlp.port}").replace("hop", "otlp")
            + SINK.format(type="nats", to=f"127.0.0.1:{nats.port}")
        )
        sensor = start_sensor(config, 0)
        wait_for(hec, 300)
        sensor.send_signal(signal.SIGKILL)
        spooled = spooled_by(sensor)
        assert spooled > 0

        sensor = start_sensor(config, spooled)
        for receiver, lines in ((forward, 300), (hec, 300), (bulk, 300), (otlp, 3)):
            wait_for(receiver, lines_of(receiver) + lines)
            receiver.kill()
            receiver.start()
        nats.kill()
        nats.start()
        assert spooled_by(sensor) == RECORDS
        assert sensor.returncode == 0

        # What still waits for a receiver that had just failed goes out at the next start.
        readers: list[Callable[[], list[str]]] = [
            lambda: [json.dumps(line["record"]) for line in forward.stored()],
            lambda: [json.dumps(line["event"]) for line in hec.stored()],
            lambda: [json.dumps(without_time(line["_source"])) for line in bulk.stored()],
            lambda: [json.dumps(body) for body in bodies_of(otlp.stored())],
        ]
        wanted = {json.dumps(as_dict(record)) for record in as_records(0, RECORDS)}
        for _ in range(4):
            spooled_by(start_sensor(config, RECORDS))
            arrived = all(set(read()) == wanted for read in readers)
            if arrived and nats.messages() == RECORDS:
                break
        assert [len(set(read()) ^ wanted) for read in readers] == [0, 0, 0, 0]
        # Ids make resent records one, in a data stream and within a stream's duplicate window.
        assert len(readers[2]()) == RECORDS
        found = nats.stored(RECORDS)
    assert {name for name, _ in found} == {identity(number) for number in range(RECORDS)}
    assert {json.dumps(json.loads(data)) for _, data in found} == wanted


def lines_of(receiver: Receiver) -> int:
    return receiver.store.read_bytes().count(b"\n") if receiver.store.exists() else 0


def wait_for(receiver: Receiver, lines: int) -> None:
    wait_until(lambda: lines_of(receiver) >= min(lines, RECORDS), 30, lambda: f"{receiver.store}")


def without_time(source: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in source.items() if name != "@timestamp"}
