"""The alert rules, each on series that fire it and on series that do not, run by promtool."""

import json
import re
import subprocess
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.exposed import metric_names

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "hoptap.rules.yml"
OTHERS = {
    "up",
    "node_timex_offset_seconds",
    "node_timex_sync_status",
}  # of Prometheus, node_exporter
JOB = {"job": "hoptap", "instance": "s1:9798"}

Series = dict[str, str]  # name with its own labels -> values, one a minute


@dataclass(frozen=True, slots=True)
class Case:
    alert: str
    at: str  # when to look
    series: Series
    labels: dict[str, str] | None = None  # of the alert beyond job and instance; None: none fires
    summary: str = ""
    lacks: tuple[str, ...] = ()  # of job and instance


SIEM = 'output="siem"'
SPOOL = f"hoptap_export_spool_bytes{{{SIEM}}}"
LIMIT = f"hoptap_export_spool_limit_bytes{{{SIEM}}}"
QUEUE = f"hoptap_export_queue_records{{{SIEM}}}"
QUEUE_LIMIT = f"hoptap_export_queue_limit_records{{{SIEM}}}"
ACK = f"hoptap_export_last_ack_timestamp_seconds{{{SIEM}}}"
CONNECTED = f"hoptap_export_connected{{{SIEM}}}"
PACKETS = 'hoptap_capture_packets_total{interface="eth0"}'
DROPPED = 'hoptap_capture_packets_dropped_total{interface="eth0"}'
LOST, SHED = (
    f'hoptap_export_records_total{{output="siem",result="{each}"}}' for each in ("lost", "shed")
)
REFUSED = 'hoptap_export_records_total{output="siem",result="refused"}'
UNATTRIBUTED, ATTRIBUTED = (
    f'hoptap_hops_total{{service="ESX",result="{each}"}}' for each in ("unattributed", "attributed")
)
KEYS = 'hoptap_keys_read_bytes_total{input="udp"}'
NO_KEY, DECRYPTED = (
    f'hoptap_tls_sessions_total{{version="1.3",result="{each}"}}'
    for each in ("no_key", "decrypted")
)
EVIDENCE_ERRORS = 'hoptap_export_errors_total{output="evidence"}'
SEQUENCE = "hoptap_evidence_chain_sequence"
FAILED, GRANTED = (
    f'hoptap_evidence_anchors_total{{result="{each}"}}' for each in ("failed", "granted")
)
ETH0, TO_SIEM = {"interface": "eth0"}, {"output": "siem"}

CASES = [
    Case("HoptapDown", "5m", {"up": "1 0x10"}, {}, "s1:9798: the sensor does not answer"),
    Case("HoptapDown", "5m", {"up": "1 0 1x10"}),
    Case("HoptapNoPackets", "20m", {PACKETS: "0+100x10 1000x20"}, ETH0,
         "s1:9798: no packet on eth0 for five minutes"),
    Case("HoptapNoPackets", "20m", {PACKETS: "0+100x10 1000x3 1001x1 1002+3x20"}),
    Case("HoptapPacketsDropped", "40m", {PACKETS: "0+10000x60", DROPPED: "0+20x60"}, ETH0,
         "s1:9798: eth0 loses 0.2% of its packets"),
    Case("HoptapPacketsDropped", "40m", {PACKETS: "0+10000x60", DROPPED: "0+9x60"}),
    Case("HoptapPacketsDropped", "40m", {PACKETS: "0+10000x60", DROPPED: "0x35 900x20"}),
    Case("HoptapPacketsDropped", "40m", {PACKETS: "5x60", DROPPED: "5x60"}),  # nothing comes
    Case("HoptapBlind", "40m",
         {"hoptap_tcp_gap_bytes_total": "0+50x60", "hoptap_packet_bytes_total": "0+10000x60"}, {},
         "s1:9798: 0.5% of the bytes that hosts acknowledged were not seen"),
    Case("HoptapBlind", "40m",
         {"hoptap_tcp_gap_bytes_total": "0+5x60", "hoptap_packet_bytes_total": "0+10000x60"}),
    Case("HoptapFallsBehind", "10m", {"hoptap_capture_lag_seconds": "90x20"}, {},
         "s1:9798: analysis is 1m 30s behind the packets"),
    Case("HoptapFallsBehind", "10m", {"hoptap_capture_lag_seconds": "1x8 90x2 1x20"}),
    Case("HoptapTlsKeysMissing", "60m",
         {NO_KEY: "0+8x90", DECRYPTED: "0+2x90", KEYS: "9000x90"}, {},
         "s1:9798: 80% of the TLS sessions stay closed for want of a key"),
    Case("HoptapTlsKeysMissing", "60m", {NO_KEY: "0+2x90", DECRYPTED: "0+8x90", KEYS: "9000x90"}),
    Case("HoptapTlsKeysMissing", "60m", {NO_KEY: "0+8x90", DECRYPTED: "0x90", KEYS: "0x90"}),
    Case("HoptapDecoderDefect", "10m",
         {'hoptap_contained_errors_total{decoder="vim25"}': "0x5 1x20"}, {"decoder": "vim25"},
         "s1:9798: a defect of the decoder vim25 was contained"),
    Case("HoptapDecoderDefect", "10m", {'hoptap_contained_errors_total{decoder="vim25"}': "3x20"}),
    Case("HoptapClockOff", "20m",
         {"up": "1x30", 'node_timex_offset_seconds{instance="s1:9100",job="node"}': "-0.3x30"},
         {"job": "node", "instance": "s1:9100"},
         "s1:9100: the clock is off, or not synchronised", ("job", "instance")),
    Case("HoptapClockOff", "20m",
         {"up": "1x30", 'node_timex_sync_status{instance="s1:9100",job="node"}': "0x30"},
         {"job": "node", "instance": "s1:9100"},
         "s1:9100: the clock is off, or not synchronised", ("job", "instance")),
    Case("HoptapClockOff", "20m",
         {"up": "1x30", 'node_timex_offset_seconds{instance="s1:9100",job="node"}': "0.01x30",
          'node_timex_sync_status{instance="s1:9100",job="node"}': "1x30",
          'node_timex_offset_seconds{instance="elsewhere:9100",job="node"}': "5x30"}),
    Case("HoptapActionUnattributed", "20m", {UNATTRIBUTED: "0x15 1x20", ATTRIBUTED: "0+1x40"},
         {"service": "ESX"},
         "s1:9798: actions on ESX of which it was not seen who did them"),
    Case("HoptapActionUnattributed", "20m", {UNATTRIBUTED: "2x40", ATTRIBUTED: "0+1x40"}),
    Case("HoptapReceiverDown", "10m", {CONNECTED: "0x20", SPOOL: "1+100x20"}, TO_SIEM,
         "s1:9798: siem takes no records"),
    Case("HoptapReceiverDown", "10m", {CONNECTED: "0x20", SPOOL: "0x20"}),  # nothing to send yet
    Case("HoptapReceiverDown", "10m", {CONNECTED: "1x20", SPOOL: "900x20"}),
    Case("HoptapExportStalled", "20m", {CONNECTED: "1x30", SPOOL: "9x30", ACK: "0x30"}, TO_SIEM,
         "s1:9798: siem acknowledged nothing for ten minutes while records wait"),
    Case("HoptapExportStalled", "40m", {SPOOL: "0x10 9x40", ACK: "0+60x20 1200x30"}, TO_SIEM,
         "s1:9798: siem acknowledged nothing for ten minutes while records wait"),
    Case("HoptapExportStalled", "40m", {SPOOL: "9x60", ACK: "0+60x60"}),
    Case("HoptapExportStalled", "40m", {SPOOL: "0x60", ACK: "0x60"}),  # a quiet site
    Case("HoptapSpoolFilling", "10m", {SPOOL: "85x20", LIMIT: "100x20"}, TO_SIEM,
         "s1:9798: the spool of siem is 85% full"),
    Case("HoptapSpoolFilling", "10m", {SPOOL: "79x20", LIMIT: "100x20"}),
    Case("HoptapSpoolFilling", "10m", {SPOOL: "79x20", LIMIT: "0x20"}),
    Case("HoptapQueueFilling", "5m", {QUEUE: "60x20", QUEUE_LIMIT: "100x20"}, TO_SIEM,
         "s1:9798: 60% of the queue of siem is taken"),
    Case("HoptapQueueFilling", "5m", {QUEUE: "40x20", QUEUE_LIMIT: "100x20"}),
    Case("HoptapQueueFilling", "4m", {QUEUE: "0x3 99 0x20", QUEUE_LIMIT: "100x20"}),
    Case("HoptapRecordsRefused", "10m", {REFUSED: "0x5 3x20"}, TO_SIEM | {"result": "refused"},
         "s1:9798: siem refuses records"),
    Case("HoptapRecordsRefused", "30m", {REFUSED: "0x5 3x40"}),
    Case("HoptapRecordsLost", "10m", {LOST: "0x5 3x20", SHED: "0x20"}, TO_SIEM | {"result": "lost"},
         "s1:9798: siem lost records (lost)"),
    Case("HoptapRecordsLost", "10m", {LOST: "0x20", SHED: "0x5 1x20"}, TO_SIEM | {"result": "shed"},
         "s1:9798: siem lost records (shed)"),
    Case("HoptapRecordsLost", "30m", {LOST: "0x5 3x40", SHED: "7x40", REFUSED: "0+9x40"}),
    Case("HoptapEvidenceFails", "8m", {EVIDENCE_ERRORS: "0x5 1x20"}, {"output": "evidence"},
         "s1:9798: the evidence log cannot be written"),
    Case("HoptapEvidenceFails", "8m",
         {EVIDENCE_ERRORS: "1x20", f"hoptap_export_errors_total{{{SIEM}}}": "0+1x20"}),
    Case("HoptapEvidenceFell", "30m", {SEQUENCE: "0+10x20 150+10x20"}, {},
         "s1:9798: the evidence log ends before where it was"),
    Case("HoptapEvidenceFell", "30m", {SEQUENCE: "0+10x10 100x10 101+7x20"}),
    Case("HoptapEvidenceUnstamped", "80m", {FAILED: "0+1x90", GRANTED: "2x90"},
         {"result": "failed"}, "s1:9798: no time stamp for the evidence log"),
    Case("HoptapEvidenceUnstamped", "80m", {FAILED: "0+1x90", GRANTED: "0+1x90"}),
]  # fmt: skip


def rules() -> dict[str, dict[str, Any]]:
    """Alert -> its rule."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def with_job(series: str) -> str:
    """Labels of a series as a scrape adds them, unless it has them."""
    name, _, own = series.partition("{")
    labels = [f'{key}="{value}"' for key, value in JOB.items() if f"{key}=" not in own]
    return f"{name}{{{','.join(filter(None, [own.rstrip('}'), *labels]))}}}"


def as_test(case: Case) -> dict[str, Any]:
    rule = rules()[case.alert]
    expected = []
    if case.labels is not None:
        own = {key: value for key, value in JOB.items() if key not in case.lacks}
        annotations = rule["annotations"] | {"summary": case.summary}
        labels = rule["labels"] | own | case.labels
        expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    return {
        "interval": "1m",
        "input_series": [
            {"series": with_job(name), "values": values} for name, values in case.series.items()
        ],
        "alert_rule_test": [
            {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}
        ],
    }


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{case.alert}-{number}" for number, case in enumerate(CASES)]
)
def test_a_rule_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [as_test(case)]}
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(document))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_case_that_fires_it_and_one_that_does_not() -> None:
    wanted = set(product(rules(), (True, False)))
    assert {(case.alert, case.labels is not None) for case in CASES} == wanted


def test_promtool_finds_no_fault_in_rules_and_scrape_configuration() -> None:
    for arguments in (("check", "rules", RULES), ("check", "config", PROMETHEUS / "scrape.yml")):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_speak_of_metrics_that_exist() -> None:
    known = metric_names() | OTHERS
    text = "\n".join(rule["expr"] for rule in rules().values())
    used = set(re.findall(r"\b(?:hoptap|node|process)_\w+|\bup\b", text))
    assert len(used) > 15
    assert used - known == set()
