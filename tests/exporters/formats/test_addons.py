"""What deploy/splunk and deploy/elastic say of fields, against what the formats write."""

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest

from exporters.formats import ecs, splunk
from sensor.records import as_dict
from tests.exporters.formats.cases import (
    AMBIGUOUS,
    AMENDED,
    EXPLICIT,
    FAILED,
    NOTICE,
    cases,
    filled,
)
from tests.exporters.formats.test_ecs import FIELDS, FREE_FORM, fields_of

DEPLOY = Path(__file__).parents[3] / "deploy"
ADDON = DEPLOY / "splunk" / "TA-hoptap"
TREES = [*cases(), filled()]


def conf(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), interpolation=None, strict=True
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    with (ADDON / "default" / f"{name}.conf").open() as file:
        parser.read_file(file)
    return parser


def events() -> list[dict[str, Any]]:
    return [splunk.render(tree) for tree in TREES]


def extracted(event: dict[str, Any], prefix: str = "") -> set[str]:
    """Names that KV_MODE = json gives: a.b in an object, a{} a list, a{}.b in a list's objects."""
    names: set[str] = set()
    for key, value in event.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            names |= extracted(value, f"{name}.")
        elif isinstance(value, list):
            names.add(f"{name}{{}}")
            for each in value:
                names |= extracted(each, f"{name}{{}}.") if isinstance(each, dict) else set()
        else:
            names.add(name)
    return names


WRITTEN = {name for envelope in events() for name in extracted(envelope["event"])}


def types_of(record: Any) -> set[str]:
    """Event types whose search takes the record's event."""
    envelope = splunk.render(as_dict(record))
    found: set[str] = set()
    parser = conf("eventtypes")
    for name in parser.sections():
        terms = re.findall(r"(\S+?)(=|>)(\S+)", parser[name]["search"])
        values = [{**envelope["event"], "sourcetype": envelope["sourcetype"]}] * len(terms)
        if all(
            str(each.get(field)) == wanted if sign == "=" else each.get(field, 0) > int(wanted)
            for each, (field, sign, wanted) in zip(values, terms, strict=True)
        ):
            found.add(name.removeprefix("hoptap_"))
    return found


def test_searches_name_fields_that_are_written() -> None:
    parser = conf("eventtypes")
    for name in parser.sections():
        sourcetype, *terms = parser[name]["search"].split(" ")
        assert sourcetype == f"sourcetype={splunk.SOURCETYPE}"
        assert terms
        assert {re.split("[=>]", term)[0] for term in terms} <= WRITTEN


def test_aliases_name_fields_that_are_written() -> None:
    stanza = conf("props")[splunk.SOURCETYPE]
    aliases = [value for key, value in stanza.items() if key.startswith("FIELDALIAS-")]
    named = {name for value in aliases for name in re.findall(r'"([^"]+)" AS \w+', value)}
    assert named and named <= WRITTEN
    for value in aliases:
        assert re.fullmatch(r'("[^"]+" AS \w+ ?)+', value)
    evaluated = [value for key, value in stanza.items() if key.startswith("EVAL-")]
    words = {word for value in evaluated for word in re.findall(r"[a-z_]+(?![a-z_]*[(\"])", value)}
    assert words & WRITTEN == {"hop_count"}
    assert stanza["KV_MODE"] == "json"


def test_a_line_is_never_cut() -> None:
    stanza = conf("props")[splunk.SOURCETYPE]
    assert int(stanza["TRUNCATE"]) > max(len(json.dumps(each)) for each in events())


def test_indexed_fields_are_not_extracted_again() -> None:
    indexed = {name for envelope in events() for name in envelope["fields"]}
    assert indexed == set(conf("fields").sections())
    assert not indexed & WRITTEN


def test_tags_are_of_event_types_that_are_there() -> None:
    types, tags = conf("eventtypes"), conf("tags")
    assert {name.removeprefix("eventtype=") for name in tags.sections()} <= set(types.sections())
    assert all(value == "enabled" for name in tags.sections() for value in tags[name].values())
    # Those that the Common Information Model's data models look for.
    given = {tag for name in tags.sections() for tag in tags[name]}
    assert given == {"authentication", "privileged", "change", "instance", "alert"}


@pytest.mark.parametrize(
    ("record", "types"),
    [
        (EXPLICIT, {"change", "instance_change"}),
        (AMBIGUOUS, {"change", "instance_change", "undecided"}),
        (FAILED, {"login"}),
        (NOTICE, {"alert"}),
        (AMENDED, set()),  # counted with what it amends
    ],
)
def test_event_types(record: Any, types: set[str]) -> None:
    assert types_of(record) == types


def test_every_field_in_ecs_is_mapped_with_its_type() -> None:
    template = json.loads((DEPLOY / "elastic" / "index-template.json").read_text())
    mapped: dict[str, dict[str, Any]] = {}

    def walk(properties: dict[str, Any], prefix: str) -> None:
        for name, each in properties.items():
            if "properties" in each:
                walk(each["properties"], f"{prefix}{name}.")
            else:
                mapped[f"{prefix}{name}"] = each

    walk(template["template"]["mappings"]["properties"], "")
    documents = [fields_of(ecs.render(tree)) for tree in TREES]
    written = {name for each in documents for name in each}
    ingested = {
        "event.ingested",
        *(f"data_stream.{each}" for each in ("type", "dataset", "namespace")),
    }
    assert set(mapped) == written | ingested
    for name, mapping in mapped.items():
        if name in FREE_FORM:
            assert mapping["type"] == "flattened"
        elif name.startswith("hop."):
            values = [each[name] for each in documents if name in each]
            kind = {str: "keyword", list: "keyword", float: "float", int: "long"}[type(values[0])]
            assert mapping["type"] == kind
        else:
            kind, most, _ = FIELDS[name]
            assert mapping["type"] == kind
            assert mapping.get("ignore_above", 0) == most


def test_the_template_and_the_pipeline_belong_together() -> None:
    template = json.loads((DEPLOY / "elastic" / "index-template.json").read_text())
    pipeline = json.loads((DEPLOY / "elastic" / "ingest-pipeline.json").read_text())
    assert template["index_patterns"] == ["logs-hoptap.hop-*"] and template["data_stream"] == {}
    assert template["priority"] > 100  # that of Elastic's own template for logs-*-*
    assert template["template"]["settings"]["index"]["default_pipeline"] == "logs-hoptap.hop"
    (step,) = pipeline["processors"]
    assert step["set"]["field"] == "event.ingested"
