"""Metrics: complete, named by the rules, at zero from the start, and readable by Prometheus."""

import re
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from sensor.metrics import CORE_HELP, OTHER, Counted, Metrics

ROOT = Path(__file__).parents[2]


class Core:
    """What a source says; operation names as hostile as the traffic may make them."""

    def counters(self) -> dict[str, int]:
        return dict.fromkeys(CORE_HELP, 0) | {"packets": 7, "packet_bytes": 700}

    def source_stats(self) -> list[dict[str, int]]:
        return [{"received": 9, "dropped": 2, "frozen": 1, "truncated": 0}]

    def operations(self) -> list[tuple[str, str, int, int, int]]:
        return [("sdk", "Login", 3, 1, 0), ('a"b\\', "\x00\n\xe9", 0, 0, 1)]

    def gauges(self) -> dict[str, int]:
        return {"flows": 5, "memory_bytes": 1000, "memory_bytes_limit": 4000}


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    text = generate_latest(registry).decode()
    return {  # label values come in order of their names
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def wired() -> Metrics:
    metrics = Metrics("1.2.3")
    metrics.interfaces = ("eth0",)
    metrics.sources = (Core(), Core())
    metrics.exports.start("ndjson", 100, lambda: 42)
    return metrics


def test_every_counter_of_the_core_has_a_help_text() -> None:
    header = (ROOT / "sensor/core/counters.h").read_text()
    names = re.findall(r"^\s*X\((\w+)\)", header, re.MULTILINE)
    assert list(CORE_HELP) == names


def test_workers_are_summed() -> None:
    found = scrape(wired())
    assert found["hoptap_packets_total", ()] == 14
    assert found["hoptap_packet_bytes_total", ()] == 1400
    assert found["hoptap_capture_packets_total", ("eth0",)] == 18
    assert found["hoptap_capture_packets_dropped_total", ("eth0",)] == 4
    assert found["hoptap_flows_active", ()] == 10
    assert found["hoptap_memory_limit_bytes", ()] == 8000
    assert found["hoptap_operations_total", ("Login", "success", "sdk")] == 6
    assert found["hoptap_operations_total", ("Login", "failure", "sdk")] == 2
    assert found["hoptap_operations_total", ("\x00\n\xe9", "unknown", 'a"b\\')] == 2
    assert found["hoptap_build_info", ("1.2.3",)] == 1


def test_what_never_happened_is_there_at_zero() -> None:
    metrics = Metrics("1.2.3")
    metrics.exports.start("ndjson", 100, lambda: 0)
    found = scrape(metrics)
    for name in CORE_HELP:
        assert found[f"hoptap_{name}_total", ()] == 0
    for kind in ("login", "logout", "action", "chain", "alert", "gap"):
        assert found["hoptap_records_total", (kind,)] == 0
    for result in ("written", "shed", "lost"):
        assert found["hoptap_export_records_total", ("ndjson", result)] == 0
    assert found["hoptap_history_removed_total", ("age",)] == 0


def test_queues_are_read_at_each_scrape() -> None:
    found = scrape(wired())
    assert found["hoptap_export_queue_records", ("ndjson",)] == 42
    assert found["hoptap_export_queue_limit_records", ("ndjson",)] == 100


def test_names_follow_the_rules_and_every_family_has_help() -> None:
    # https://prometheus.io/docs/practices/naming/, as `promtool check metrics` has them
    for family in wired().collect():
        assert re.fullmatch(r"hoptap_[a-z0-9_]+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|us|kb|mb|count|sum|bucket)$", family.name), family.name
        assert (family.type == "gauge") or not family.name.endswith("_info")
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter"), sample.name


def test_no_name_is_given_twice() -> None:
    names = [family.name for family in wired().collect()]
    assert len(names) == len(set(names))


def test_a_label_outside_its_closed_set_is_counted_as_other() -> None:
    counted = Counted("x_total", "X.", ("kind",), [("a",)])
    counted.add("a")
    counted.add("zzz", by=2)
    assert counted.rows() == [(("a",), 1), ((OTHER,), 2)]


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_both_text_formats_can_be_written(accept: str) -> None:
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(wired())
    encode, _ = choose_encoder(accept)
    assert b"hoptap_packets_total 14.0" in encode(registry)
