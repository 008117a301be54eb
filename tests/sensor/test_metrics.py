"""Metrics: complete, named by the rules, at zero from the start, and readable by Prometheus."""

import re
from dataclasses import replace

import pytest
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from sensor import _core, app, hashing
from sensor.core_help import CORE_HELP
from sensor.metrics import (
    ANALYSIS_HELP,
    CORE_GAUGE_HELP,
    INPUT_HELP,
    KEY_HELP,
    KEY_INPUTS,
    OTHER,
    SEALED,
    Counted,
    Metrics,
    core_metric,
)
from sensor.settings import Settings
from tests.command import DEMO_CAPTURE


class Hostile:
    """A source whose operation names are what an attacker may send."""

    def counters(self) -> dict[str, int]:
        return dict.fromkeys(CORE_HELP, 0)

    def source_stats(self) -> list[dict[str, int]]:
        return []

    def operations(self) -> list[tuple[str, str, int, int, int]]:
        return [('a"b\\', "\x00\n\xe9", 0, 0, 1)]

    def gauges(self) -> dict[str, int]:
        return {}


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
def driven() -> Metrics:
    """After the demo capture went through two workers."""
    metrics = Metrics("1.2.3")
    settings = replace(Settings(), capture=replace(Settings().capture, workers=2))
    inputs = app.Inputs(files=(str(DEMO_CAPTURE),))
    sensor = app.assemble(settings, hashing.run_hasher(), inputs, metrics)
    metrics.interfaces = ("eth0",)  # as if the file were one
    metrics.exports.start("ndjson", 100, lambda: 42)
    app.drive(sensor, lambda records: None, lambda: None)
    return metrics


def test_every_counter_and_gauge_has_a_help_text(driven: Metrics) -> None:
    assert tuple(CORE_HELP) == _core.COUNTERS
    for source in driven.sources:
        assert set(source.gauges()) == set(CORE_GAUGE_HELP)
        (stats,) = source.source_stats()
        assert set(stats) == set(INPUT_HELP)
    tables = {name for name in driven.analysis() if not name.endswith("_shed")}
    assert tables == set(ANALYSIS_HELP)


def test_workers_are_summed(driven: Metrics) -> None:
    found = scrape(driven)
    assert len(driven.sources) == 2
    assert found["hoptap_packets_total", ()] == 2115
    assert found["hoptap_capture_packets_dropped_total", ("eth0",)] == 0
    limit = found["hoptap_memory_limit_bytes", ()]
    assert limit == 2 * Settings().limits.memory_bytes_max
    assert found["hoptap_operations_total", ("Login", "success", "sdk")] == 6
    assert found["hoptap_operations_total", ("Destroy_Task", "failure", "sdk")] == 2
    assert found["hoptap_messages_total", ("Login",)] == 11
    assert found["hoptap_decode_errors_total", ("vim25",)] == 0
    assert found["hoptap_decode_errors_total", ("proxyproto",)] == 0
    assert found["hoptap_analysis_sessions", ()] > 0
    assert found["hoptap_analysis_shed_total", ("sessions",)] == 0
    assert found["hoptap_build_info", ("1.2.3",)] == 1


def test_a_name_from_the_traffic_cannot_break_the_text() -> None:
    metrics = Metrics("1.2.3")
    metrics.sources = (Hostile(),)
    found = scrape(metrics)
    assert found["hoptap_operations_total", ("\x00\n\xe9", "unknown", 'a"b\\')] == 1


def test_what_never_happened_is_there_at_zero() -> None:
    metrics = Metrics("1.2.3")
    metrics.exports.start("ndjson", 100, lambda: 0)
    found = scrape(metrics)
    for name in CORE_HELP:
        assert found[core_metric(name), ()] == 0
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
            return super().counters() | {"tls_key_wait_ms": 1500}

    metrics = Metrics("1.2.3")
    metrics.sources = (Waited(), Waited())
    assert scrape(metrics)["hoptap_tls_key_wait_seconds_total", ()] == 3.0


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
