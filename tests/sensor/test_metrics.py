"""Metrics: complete, named by the rules, at zero from the start, and readable by Prometheus."""

import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from sensor import _core, app, hashing
from sensor.core_help import CORE_HELP
from sensor.metric_help import (
    ANALYSIS_HELP,
    CORE_GAUGE_HELP,
    INPUT_HELP,
    KEY_HELP,
    KEY_INPUTS,
    SHED_HELP,
    TLS_RESULTS,
    TLS_VERSIONS,
    TUNNELS,
)
from sensor.metrics import METHODS, OTHER, SEALED, Counted, Metrics, core_metric
from sensor.record_counts import CLASSES, HOP_RESULTS, OUTCOMES, SERVICES, hop_result
from sensor.records import Chain, Endpoint, Hop, Operation, Record, as_dict
from sensor.settings import Settings
from tests.command import DEMO_CAPTURE


class Hostile:
    """A source whose operation names are what an attacker may send."""

    def counters(self) -> dict[str, int]:
        return dict.fromkeys(CORE_HELP, 0)

    def source_stats(self) -> list[dict[str, int]]:
        return []

    def operations(self) -> list[tuple[str, str, int, int, int]]:
        return [
            ('a"b\\', "\x00\n\xe9", 0, 0, 1),
            ("sdk", "bob@acme", 0, 0, 1),
            ("sdk", "PROPFIND", 7, 0, 0),
        ]

    def gauges(self) -> dict[str, int]:
        return {}

    def tls_sessions(self) -> list[tuple[str, str, int]]:
        return []


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    text = generate_latest(registry).decode()
    return {  # label values come in order of their names
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Of the demo capture, once it was driven."""
    return []


@pytest.fixture(scope="module")
def driven(records: list[Record]) -> Metrics:
    """After the demo capture went through two workers."""
    metrics = Metrics("1.2.3")
    settings = replace(Settings(), capture=replace(Settings().capture, workers=2))
    inputs = app.Inputs(files=(str(DEMO_CAPTURE),))
    sensor = app.assemble(settings, hashing.run_hasher(), inputs, metrics)
    metrics.interfaces = ("eth0",)  # as if the file were one
    metrics.exports.start("ndjson", 100, lambda: 42)

    def deliver(made: Sequence[Record]) -> None:
        metrics.told.count(made, metrics.reached())
        records.extend(made)

    app.drive(sensor, deliver, lambda: None)
    return metrics


def test_every_counter_and_gauge_has_a_help_text(driven: Metrics) -> None:
    assert tuple(CORE_HELP) == _core.COUNTERS
    for source in driven.sources:
        assert set(source.gauges()) == set(CORE_GAUGE_HELP)
        (stats,) = source.source_stats()
        assert set(stats) == {*INPUT_HELP, "last_ns"}
    tables = {name for name in driven.analysis() if not name.endswith("_shed")}
    assert tables == set(ANALYSIS_HELP)
    shed = {name.removesuffix("_shed") for name in driven.analysis() if name.endswith("_shed")}
    assert shed == set(SHED_HELP)


def test_workers_are_summed(driven: Metrics) -> None:
    found = scrape(driven)
    assert len(driven.sources) == 2
    assert found["hoptap_packets_total", ()] == 2115
    assert found["hoptap_capture_packets_dropped_total", ("eth0",)] == 0
    limit = found["hoptap_memory_limit_bytes", ()]
    assert limit == 2 * Settings().limits.memory_bytes_max
    assert found["hoptap_operations_total", ("GET", "success")] == 53
    assert found["hoptap_operations_total", ("SOAP", "failure")] == 4
    assert found["hoptap_messages_total", ("Login",)] == 11
    assert found["hoptap_decode_errors_total", ("vim25",)] == 0
    assert found["hoptap_decode_errors_total", ("proxyproto",)] == 0
    assert found["hoptap_analysis_sessions", ()] > 0
    assert found["hoptap_analysis_shed_total", ("sessions",)] == 0
    assert found["hoptap_build_info", ("1.2.3",)] == 1


def test_a_name_from_the_traffic_is_no_label() -> None:
    metrics = Metrics("1.2.3")
    metrics.sources = (Hostile(),)
    found = scrape(metrics)
    assert found["hoptap_operations_total", ("SOAP", "unknown")] == 2
    assert found["hoptap_operations_total", (OTHER, "success")] == 7
    assert {row[0] for name, row in found if name == "hoptap_operations_total"} == set(METHODS)


def test_what_never_happened_is_there_at_zero() -> None:
    metrics = Metrics("1.2.3")
    metrics.exports.start("ndjson", 100, lambda: 0)
    found = scrape(metrics)
    for name in CORE_HELP:
        assert not core_metric(name) or found[core_metric(name), ()] == 0
    for name, *labels in (
        ("logins", OUTCOMES, SERVICES),
        ("hops", HOP_RESULTS, SERVICES),
        ("actions", CLASSES, OUTCOMES),
        ("amendments", HOP_RESULTS),
        ("tls_sessions", TLS_RESULTS, TLS_VERSIONS),
        ("decap_packets", TUNNELS),
        ("operations", METHODS, OUTCOMES),
    ):
        rows = {row for each, row in found if each == f"hoptap_{name}_total"}
        assert rows == set(product(*labels)), name
        assert {found[f"hoptap_{name}_total", row] for row in rows} == {0}
    for name in ("tls_key_wait", "correlation_delay"):
        assert found[f"hoptap_{name}_seconds_bucket", ("+Inf",)] == 0
    for name in KEY_HELP:
        assert {found[f"hoptap_keys_{name}_total", (each,)] for each in KEY_INPUTS} == {0}
    for result in SEALED:
        assert found["hoptap_tls_flows_sealed_total", (result,)] == 0
    for kind in ("login", "logout", "action", "chain", "alert", "gap"):
        assert found["hoptap_records_total", (kind,)] == 0
    for result in ("written", "shed", "lost"):
        assert found["hoptap_export_records_total", ("ndjson", result)] == 0
    assert found["hoptap_history_removed_total", ("age",)] == 0


def test_what_the_core_measures_in_milliseconds_is_told_in_seconds() -> None:
    class Waited(Hostile):
        def counters(self) -> dict[str, int]:
            return super().counters() | {
                "tls_key_wait_ms": 21_500,
                "tls_key_waits": 3,
                "tls_key_waits_le_100ms": 1,
                "tls_key_waits_le_10000ms": 1,
            }

    metrics = Metrics("1.2.3")
    metrics.sources = (Waited(), Waited())
    found = scrape(metrics)
    name = "hoptap_tls_key_wait_seconds"
    assert found[f"{name}_sum", ()] == 43.0 and found[f"{name}_count", ()] == 6
    buckets = {row[0]: count for (each, row), count in found.items() if each == f"{name}_bucket"}
    assert buckets == {"0.01": 0, "0.1": 2, "0.5": 2, "2.0": 2, "10.0": 4, "+Inf": 6}


def test_heartbeats_are_counted() -> None:
    metrics = Metrics("1.2.3")
    assert scrape(metrics)["hoptap_heartbeats_missed_total", ()] == 0
    metrics.heartbeats = lambda: {"received": 9, "missed": 2, "restarts": 1}
    found = scrape(metrics)
    assert found["hoptap_heartbeats_received_total", ()] == 9
    assert found["hoptap_heartbeats_missed_total", ()] == 2
    assert found["hoptap_heartbeats_restarts_total", ()] == 1


def test_key_logs_are_counted_by_input() -> None:
    metrics = Metrics("1.2.3")
    metrics.keys = lambda: {"udp": {"read_bytes": 5, "dropped_datagrams": 1}}
    found = scrape(metrics)
    assert found["hoptap_keys_read_bytes_total", ("udp",)] == 5
    assert found["hoptap_keys_read_bytes_total", ("file",)] == 0
    assert found["hoptap_keys_dropped_datagrams_total", ("udp",)] == 1


def test_queues_are_read_at_each_scrape(driven: Metrics) -> None:
    found = scrape(driven)
    assert found["hoptap_export_queue_records", ("ndjson",)] == 42
    assert found["hoptap_export_queue_limit_records", ("ndjson",)] == 100


def test_names_follow_the_rules_and_every_family_has_help(driven: Metrics) -> None:
    # https://prometheus.io/docs/practices/naming/, as `promtool check metrics` has them
    for family in driven.collect():
        assert re.fullmatch(r"hoptap_[a-z0-9_]+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|us|kb|mb|count|sum|bucket)$", family.name), family.name
        assert (family.type == "gauge") or not family.name.endswith("_info")
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter"), sample.name


def test_promtool_finds_no_fault(driven: Metrics) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(driven)
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(registry),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_records_are_counted(driven: Metrics, records: list[Record]) -> None:
    found = scrape(driven)
    actions = [each for each in records if each.kind == "action" and not each.amends]
    assert sum(found["hoptap_hops_total", row] for row in product(HOP_RESULTS, SERVICES)) == len(
        actions
    )
    logins = [each for each in records if each.kind == "login" and not each.amends]
    assert sum(found["hoptap_logins_total", row] for row in product(OUTCOMES, SERVICES)) == len(
        logins
    )
    assert sum(found["hoptap_actions_total", row] for row in product(CLASSES, OUTCOMES)) == len(
        actions
    )
    delay = "hoptap_correlation_delay_seconds"
    assert found[f"{delay}_count", ()] == len(actions) > 0
    assert 0 <= found[f"{delay}_sum", ()] / len(actions) < 10
    assert found["hoptap_hops_total", ("attributed", "ESX")] > 0


@pytest.mark.parametrize(
    ("path", "cause", "expected"),
    [
        ("VCD:bob@acme:VC:vCloudService", "explicit", "attributed"),
        ("VC:bob", "none", "attributed"),
        ("?:?:ESX:vpxuser", "none", "unattributed"),
        ("ESX:?", "none", "unattributed"),
        ("VC:?:ESX:vpxuser", "explicit", "unattributed"),
        ("?:bob", "none", "attributed"),
        ("VC:what?:ESX:vpxuser", "explicit", "attributed"),
        ("?:?:ESX:vpxuser", "ambiguous", "ambiguous"),
        ("", "none", "unattributed"),
    ],
)
def test_a_hop_is_attributed_when_the_head_of_its_chain_is_named(
    path: str, cause: str, expected: str
) -> None:
    chain = Chain("c", path, (), (), 1)
    record = Record(kind="action", ts=1, chain=chain, hop=Hop(0, 1, "ESX", "x", cause, 1.0))
    assert hop_result(record) == expected


def test_what_the_site_and_the_traffic_name_stays_within_the_sets() -> None:
    metrics = Metrics("1.2.3")
    metrics.told.start_services(["BKP"])
    assert scrape(metrics)["hoptap_logins_total", ("failure", "BKP")] == 0
    for service in ("BKP", "10.1.2.3"):
        to = Endpoint(service=service)
        metrics.told.count([Record(kind="login", ts=1, to=to, outcome="failure")], 0)
        odd = Operation("x", "y", "bob@acme")
        metrics.told.count([Record(kind="action", ts=1, to=to, op=odd, outcome="bob")], 0)
    found = scrape(metrics)
    assert found["hoptap_logins_total", ("failure", "BKP")] == 1
    assert found["hoptap_logins_total", ("failure", OTHER)] == 1
    assert found["hoptap_hops_total", ("unattributed", OTHER)] == 1
    assert found["hoptap_actions_total", (OTHER, "unknown")] == 2


def texts(tree: Any) -> Iterator[str]:
    """Every text in a record."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from texts(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from texts(value)
    elif isinstance(tree, str):
        yield tree


def test_no_text_of_the_traffic_is_a_label(driven: Metrics, records: list[Record]) -> None:
    """Neither users, objects, addresses, sessions nor operations; services and outcomes are."""
    said = {text for record in records for text in texts(json.loads(json.dumps(as_dict(record))))}
    closed = {*SERVICES, *OUTCOMES, *HOP_RESULTS, *CLASSES, *METHODS}
    closed |= {*driven.decoders, *driven.messages}
    closed |= {"login", "logout", "action", "chain", "alert", "gap"}
    closed |= {"definite", "like_name", "unknown"}  # evidence
    labels = {
        value
        for family in driven.collect()
        for sample in family.samples
        for value in sample.labels.values()
    }
    assert len(said) > 300
    assert labels & said - closed == set()


def test_there_are_few_series(driven: Metrics) -> None:
    """Of a sensor with two interfaces, a file, the history, the evidence log and a receiver."""
    metrics = Metrics("1.2.3")
    for name in ("sources", "streams", "decoders", "messages", "analysis", "guesses", "trust"):
        setattr(metrics, name, getattr(driven, name))
    metrics.interfaces = ("eth0", "eth1")
    for output in ("ndjson", "history", "evidence", "siem"):
        metrics.exports.start(output, 1, lambda: 0)
    metrics.exports.start_receiver("siem")
    metrics.exports.start_spool("siem", 1, lambda: 0)
    assert 300 < sum(len(family.samples) for family in metrics.collect()) < 550


def test_exemplars_name_records(driven: Metrics, records: list[Record]) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(driven)
    encode, content_type = choose_encoder("application/openmetrics-text; version=1.0.0")
    assert "openmetrics" in content_type
    found = {
        (sample.name, sample.exemplar.labels["record_id"])
        for family in openmetrics_families(encode(registry).decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }
    assert {name for name, _ in found} == {
        "hoptap_logins_total",
        "hoptap_hops_total",
        "hoptap_actions_total",
        "hoptap_correlation_delay_seconds_bucket",
    }
    assert {identity for _, identity in found} <= {record.id for record in records}
    encode, _ = choose_encoder("")
    assert b"record_id" not in encode(registry)


def test_an_exemplar_too_long_for_openmetrics_is_left_out() -> None:
    counted = Counted("x_total", "X.", ("kind",), [("a",)])
    counted.add("a", record_id="r" * 119)
    assert len("record_id") + len(counted.examples()["a",].record_id) == 128
    counted.add("a", record_id="s" * 120)
    assert counted.examples()["a",].record_id == "r" * 119
    assert counted.value("a") == 2


def test_the_lag_and_the_last_packet_are_told() -> None:
    class Recent(Hostile):
        def source_stats(self) -> list[dict[str, int]]:
            return [{"last_ns": 5_000_000_000}]

    metrics = Metrics("1.2.3")
    metrics.interfaces, metrics.sources = ("eth0",), (Recent(),)
    found = scrape(metrics)
    assert found["hoptap_capture_last_packet_timestamp_seconds", ("eth0",)] == 5
    assert found["hoptap_capture_lag_seconds", ()] == 0  # nothing was read yet
    metrics.reached = lambda: time.time_ns() - 3_000_000_000
    assert 3 <= scrape(metrics)["hoptap_capture_lag_seconds", ()] < 30


def test_no_name_is_given_twice(driven: Metrics) -> None:
    names = [family.name for family in driven.collect()]
    assert len(names) == len(set(names))


def test_a_label_outside_its_closed_set_is_counted_as_other() -> None:
    counted = Counted("x_total", "X.", ("kind",), [("a",)])
    counted.add("a")
    counted.add("zzz", by=2)
    assert counted.rows() == [(("a",), 1), ((OTHER,), 2)]


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_both_text_formats_can_be_written(driven: Metrics, accept: str) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(driven)
    encode, _ = choose_encoder(accept)
    assert b"hoptap_packets_total 2115.0" in encode(registry)
