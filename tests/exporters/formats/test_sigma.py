"""The rules of deploy/sigma: valid, convertible, and run as SQL over the ECS form of records."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sigma.backends.elasticsearch.elasticsearch_esql import ESQLBackend
from sigma.backends.elasticsearch.elasticsearch_lucene import LuceneBackend
from sigma.backends.splunk.splunk import SplunkBackend
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.processing.pipeline import ProcessingPipeline
from sigma.rule import SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.core import validators

from exporters.formats import ecs, splunk
from sensor.alert_settings import AlertSettings
from sensor.records import Endpoint, Hop, Operation, Record, as_dict
from tests.exporters.formats.cases import EXPLICIT, GAP, NOTICE, cases
from tests.exporters.formats.test_ecs import fields_of
from tests.records import SENSOR

DEPLOY = Path(__file__).parents[3] / "deploy"
PATHS = sorted((DEPLOY / "sigma").glob("*.yml"))
NAMES = [path.stem for path in PATHS]
ESX, VC = Endpoint("10.0.9.21", 443, "ESX"), Endpoint("10.0.0.5", 443, "VC")
FROM_VC, STRANGER = Endpoint("10.0.0.5", 1, "VC"), Endpoint("10.0.0.66", 1)
DIRECT = Hop(0, 1, "ESX", "root", "none", 1.0)


def login(user: str, source: Endpoint, to: Endpoint, outcome: str = "success") -> Record:
    return Record(
        kind="login",
        ts=1,
        hop=replace(DIRECT, user=user, service=to.service),
        source=source,
        to=replace(to, user=user),
        op=Operation("Login", "vim25", "login", method="password"),
        outcome=outcome,
        sensor=SENSOR,
    )


def alert(reason: str) -> Record:
    return replace(NOTICE, reason=reason)


GUEST = replace(
    EXPLICIT, op=Operation("StartProgramInGuest", "vim25", "guest"), guest_user="appadmin"
)
UNSEEN = replace(EXPLICIT, hop=Hop(0, 1, "ESX", "vpxuser", "none", 0.0))
OTHER_ADDRESS = replace(STRANGER, ip="10.0.0.67")
# Rule -> records of which it shows something, records of which it does not.
RECORDS: dict[str, tuple[Sequence[Record], Sequence[Record]]] = {
    "delegate_outside_its_service": ([alert("service_account_elsewhere")], [alert("scanner")]),
    "direct_esxi_login": (
        [login("root", STRANGER, ESX)],
        [
            login("root", STRANGER, ESX, "failure"),
            login("root", FROM_VC, ESX),
            login("vpxuser", STRANGER, ESX),
            login("root", STRANGER, VC),
        ],
    ),
    "guest_operation_with_credentials": ([GUEST], [replace(GUEST, guest_user=""), EXPLICIT]),
    "mass_destroy": ([EXPLICIT] * 10, [EXPLICIT] * 9 + [replace(EXPLICIT, outcome="failure")] * 9),
    "no_human_at_head": ([UNSEEN], [EXPLICIT, replace(EXPLICIT, hop=DIRECT), GAP]),
    "request_id_reused": ([alert("request_id_reused")], [alert("key_conflict"), EXPLICIT]),
    "sensor_blind": ([GAP], [EXPLICIT]),
    "service_account_new_source": (
        [login("svc-backup", STRANGER, VC), login("svc-backup", OTHER_ADDRESS, VC)],
        [
            login("svc-backup", STRANGER, VC),
            login("svc-backup", STRANGER, VC),
            login("bob", OTHER_ADDRESS, VC),
            login("bob", STRANGER, VC),
        ],
    ),
    "session_from_two_addresses": ([alert("session_from_two_addresses")], [alert("new_host")]),
    "ticket_reused": ([alert("ticket_reused")], [alert("password_guessing"), EXPLICIT]),
    "vpxuser_not_from_vcenter": (
        [
            login("vpxuser", STRANGER, ESX),
            login("vpxuser", replace(STRANGER, service="VCD"), ESX, "failure"),
        ],
        [login("vpxuser", FROM_VC, ESX), login("root", STRANGER, ESX)],
    ),
}


def collection(path: Path) -> SigmaCollection:
    return SigmaCollection.from_yaml(path.read_text())


def shown(path: Path, records: Sequence[Record]) -> int:
    """How many rows the rule's query has in a table of these records."""
    documents = [fields_of(ecs.render(as_dict(record))) for record in records]
    columns = sorted({*queried(path), *(name for each in documents for name in each)})
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE logs ({', '.join(f'`{name}`' for name in columns)})")
    marks = ", ".join("?" * len(columns))
    for each in documents:
        row = [
            value if isinstance(value, (str, int, float, type(None))) else str(value)
            for value in map(each.get, columns)
        ]
        database.execute(f"INSERT INTO logs VALUES ({marks})", row)
    queries = [
        query.replace("<TABLE_NAME>", "logs") for query in sqliteBackend().convert(collection(path))
    ]
    return sum(len(database.execute(query).fetchall()) for query in queries)


def queried(path: Path) -> set[str]:
    """Every field that the rule names."""
    fields: set[str] = set()

    def visit(item: Any) -> None:
        for each in item.detection_items:
            if hasattr(each, "detection_items"):
                visit(each)
            elif each.field:
                fields.add(each.field)

    for rule in collection(path).rules:
        if isinstance(rule, SigmaRule):
            for detection in rule.detection.detections.values():
                visit(detection)
        elif isinstance(rule, SigmaCorrelationRule):
            fields |= set(rule.group_by or ())
            counted = getattr(rule.condition, "fieldref", None)
            fields |= {counted} if isinstance(counted, str) else set(counted or ())
    return fields


@cache
def written() -> tuple[set[str], set[str]]:
    """Fields of all our records in ECS, and for Splunk."""
    trees = [*cases(), *(as_dict(each) for pair in RECORDS.values() for s in pair for each in s)]
    return (
        {name for tree in trees for name in fields_of(ecs.render(tree))},
        {name for tree in trees for name in splunk.render(tree)["event"]},
    )


def test_eleven_rules() -> None:
    assert sorted(RECORDS) == NAMES and len(NAMES) == 11


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_rule_shows_what_it_should_and_nothing_else(path: Path) -> None:
    fires, does_not = RECORDS[path.stem]
    assert shown(path, fires) > 0
    assert shown(path, does_not) == 0
    for record in fires if len(fires) > 2 else ():  # a correlation needs all of them
        assert shown(path, [record]) == 0


def test_rules_are_valid() -> None:
    """By all of pySigma's validators but those that fetch the ATT&CK matrix from the network."""
    offline = [
        each for name, each in validators.items() if not name.startswith(("attack", "d3_fend"))
    ]
    rules: list[Any] = [rule for path in PATHS for rule in collection(path).rules]
    assert SigmaValidator(offline).validate_rules(iter(rules)) == []
    assert len({rule.id for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.description and rule.level and rule.falsepositives and rule.tags
        if isinstance(rule, SigmaRule):
            assert (rule.logsource.product, rule.logsource.service) == ("vmware", "hoptap")


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_rules_ask_for_fields_that_are_written(path: Path) -> None:
    assert queried(path) <= written()[0]


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_rules_convert(path: Path) -> None:
    correlates = any(isinstance(each, SigmaCorrelationRule) for each in collection(path).rules)
    elastic = ESQLBackend() if correlates else LuceneBackend()
    (query,) = elastic.convert(collection(path))
    assert all(field in query for field in queried(path))
    pipeline = ProcessingPipeline.from_yaml((DEPLOY / "splunk/sigma-pipeline.yml").read_text())
    (query,) = SplunkBackend(pipeline).convert(collection(path))
    assert query.startswith("sourcetype=hoptap:hop kind=")
    assert "." not in query.replace("sourcetype=hoptap:hop", "")


def test_the_pipeline_maps_to_fields_of_the_splunk_format() -> None:
    pipeline = ProcessingPipeline.from_yaml((DEPLOY / "splunk/sigma-pipeline.yml").read_text())
    (mapping,) = (vars(item.transformation)["mapping"] for item in pipeline.items)
    assert set(mapping) == {field for path in PATHS for field in queried(path)}
    assert set(mapping.values()) <= written()[1]


def test_reasons_of_alerts_are_those_of_the_sensor() -> None:
    for name in (
        "service_account_elsewhere",
        "ticket_reused",
        "session_from_two_addresses",
        "request_id_reused",
    ):
        assert getattr(AlertSettings(), name) is True
        assert any(f"event.action: {name}\n" in path.read_text() for path in PATHS)
