"""A real Prometheus at a real sensor: what it scrapes, and which of our alerts fire when."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from sensor import verify
from sensor.exits import Exit
from tests.command import DEMO_CAPTURE, ROOT, hoptap, write_config
from tests.lab import prometheus
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, open_wire, wait_for
from tests.lab.sensor import listening

pytestmark = [pytest.mark.namespace, pytest.mark.server]

STATUS = "127.0.0.1:9798"
SEND = (sys.executable, "-m", "tests.lab.send", str(DEMO_CAPTURE), CLIENT_INTERFACE)
GRAFANA = ROOT / "deploy" / "grafana" / "hoptap.json"
SILENT = """
import socket, sys
server = socket.create_server(("127.0.0.1", 2515))
print("listening", flush=True)
kept = []
while True:
    connection, _ = server.accept()
    kept.append(connection)
"""


def test_prometheus_scrapes_a_sensor(tmp_path: Path) -> None:
    out, log = tmp_path / "hop.ndjson", tmp_path / "evidence.ndjson"
    config = write_config(
        tmp_path,
        status={"listen": STATUS},
        history={"enabled": True},
        evidence={"file": str(log), "checkpoint_records": 20},
    )
    with (
        open_wire(offloads=False) as wire,
        listening(wire.server, SERVER_INTERFACE, config, out) as sensor,
        prometheus.scraping(wire.server, STATUS, tmp_path / "prometheus") as scraped,
    ):
        wait_for(lambda: scraped.value('up{job="hoptap"}') == 1, "a scrape")
        wire.client.run(*SEND, timeout_s=60)
        made = "sum(hoptap_records_total)"
        wait_for(lambda: len(sensor.records()) > 80, "records")
        wait_for(lambda: scraped.value(made) == len(sensor.records()), "their count")
        delay = "hoptap_correlation_delay_seconds"
        actions = scraped.value('sum(hoptap_records_total{kind="action"})')
        assert scraped.value("sum(hoptap_hops_total)") == actions
        assert scraped.value(f"{delay}_count") == actions
        assert 0 < (scraped.value(f"{delay}_sum") or 0) / (actions or 1) < 10
        assert scraped.value("time() - hoptap_capture_last_packet_timestamp_seconds < 60")
        assert (scraped.value("hoptap_capture_lag_seconds") or 60) < 10
        assert (scraped.value("process_resident_memory_bytes") or 0) > 1 << 20
        wait_for(lambda: (scraped.value("hoptap_evidence_checkpoint_sequence") or 0) > 20, "it")
        assert dashboard_metrics() - scraped.metric_names() == set()
        assert exemplars(scraped) <= {record["id"] for record in sensor.records()}
        wait_for(lambda: ("HoptapNoPackets", "") in scraped.firing(), "the end of the traffic")
        assert not {name for name, _ in scraped.firing()} & {
            "HoptapDown", "HoptapRecordsLost", "HoptapEvidenceFails", "HoptapEvidenceFell",
        }  # fmt: skip
        sequence = scraped.value("hoptap_evidence_chain_sequence")
        records = sensor.stop()
        wait_for(lambda: ("HoptapDown", "") in scraped.firing(), "its end")
    said = hoptap("verify", log).stdout
    last = re.search(r"seq 0 to (\d+), each follows", said)
    assert last is not None and int(last[1]) > (sequence or 0) > len(records)
    heads = [
        line.rpartition(" ")[2] for line in sensor.log.read_text().splitlines() if "checkp" in line
    ]
    assert len(heads) >= 4
    options = verify.Options((str(log),), heads=tuple(map(verify.parse_head, heads)))
    assert verify.verify(options) == Exit.OK
    kept = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["id"] for each in kept if "id" in each] == [each["id"] for each in records]


def dashboard_metrics() -> set[str]:
    """Of the panels whose parts this sensor has: it has no receiver, and nothing is broken."""
    text = GRAFANA.read_text()
    absent = ("hoptap_export_spool", "hoptap_export_last_ack")
    return {name for name in re.findall(r"\bhoptap_\w+", text) if not name.startswith(absent)}


def exemplars(scraped: prometheus.Prometheus) -> set[str]:
    """Ids of the records that Prometheus keeps beside the counts."""
    found: set[str] = set()

    def ask() -> bool:
        for name in ("hoptap_hops_total", "hoptap_correlation_delay_seconds_bucket"):
            series: list[dict[str, Any]] = scraped.ask(
                "query_exemplars", query=name, start="0", end="4102444800"
            )
            found.update(each["labels"]["record_id"] for one in series for each in one["exemplars"])
        return len(found) > 1

    wait_for(ask, "exemplars")
    return found


def test_failing_receivers_and_a_full_disk_raise_their_alerts(tmp_path: Path) -> None:
    """One that is not there, one that takes records and never answers; spools of 64 KiB."""
    out = tmp_path / "hop.ndjson"
    usual = {"type": "relp", "spool_bytes_max": 1 << 16, "connect_timeout_ms": 500}
    config = write_config(
        tmp_path,
        status={"listen": STATUS},
        evidence={"file": "/dev/full"},
        sink=[
            {"id": "absent", "to": "127.0.0.1:2514", **usual},
            {"id": "silent", "to": "127.0.0.1:2515", "ack_timeout_ms": 1000, **usual},
        ],
    )
    with open_wire(offloads=False) as wire:
        wire.server.start(sys.executable, "-c", SILENT)
        with (
            listening(wire.server, SERVER_INTERFACE, config, out) as sensor,
            prometheus.scraping(wire.server, STATUS, tmp_path / "prometheus") as scraped,
        ):
            wait_for(lambda: scraped.value('up{job="hoptap"}') == 1, "a scrape")
            wire.client.run(*SEND, timeout_s=60)
            wait_for(lambda: len(sensor.records()) > 80, "records")
            expected = {
                (alert, output)
                for alert in ("HoptapReceiverDown", "HoptapExportStalled", "HoptapSpoolFilling")
                for output in ("absent", "silent")
            } | {("HoptapEvidenceFails", "evidence"), ("HoptapRecordsLost", "absent")}
            seen: set[tuple[str, str]] = set()

            def all_fired() -> bool:
                seen.update(scraped.firing())
                return expected <= seen

            try:
                wait_for(all_fired, "the alerts", timeout_s=30)
            except TimeoutError:
                pytest.fail(f"did not fire: {expected - seen}\n{sensor.log.read_text()}")
            code = wire.server.run("curl", "--silent", f"http://{STATUS}/healthz")
            assert '"ok"' in code  # the capture is unharmed
            assert scraped.value("hoptap_packets_total") == 2115
            assert scraped.value("sum(hoptap_capture_packets_dropped_total)") == 0
