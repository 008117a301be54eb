"""Every format of every sort of record, whole, as a person once read it; and what all share.

pytest tests/exporters/formats/test_golden.py --update     rewrites golden/; read the diff
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from exporters.formats import text
from exporters.formats.format import Format
from exporters.formats.registry import FORMATS, line_writer
from sensor import sink_types
from sensor.records import as_dict, encode_msgpack, encode_ndjson
from tests.exporters.formats.cases import (
    AGREED,
    AMBIGUOUS,
    CONCEIVABLE,
    CORRELATED,
    EXPLICIT,
    GAP,
    Tree,
    cases,
    crafted,
    hostile,
    hostile_candidates,
)

GOLDEN = Path(__file__).parent / "golden"
DIALECTS = [each for each in FORMATS.values() if each.name not in ("hop", "msgpack")]
OURS = [each for each in DIALECTS if each.name != "rfc5424"]  # that has tests of its own
by_name = pytest.mark.parametrize("format", OURS, ids=lambda each: each.name)


def lines(format: Format) -> list[str]:
    write = line_writer(format)
    return b"".join(write(tree) for tree in cases()).decode().split("\n")[:-1]


@by_name
def test_golden(format: Format, update: bool) -> None:
    path = GOLDEN / f"{format.name}.txt"
    written = lines(format)
    if update:
        GOLDEN.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in written))
    assert written == path.read_text().split("\n")[:-1]


def test_the_registry_has_what_the_settings_name() -> None:
    assert set(FORMATS) == set(sink_types.FORMATS) - {"otlp"}
    assert all(name == format.name for name, format in FORMATS.items())


def test_hop_is_the_record() -> None:
    for record in crafted():
        tree = as_dict(record)
        assert line_writer(FORMATS["hop"])(tree) == encode_ndjson(record)
        assert line_writer(FORMATS["msgpack"])(tree) == encode_msgpack(record)


@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda each: each.name)
def test_a_format_is_pure(format: Format) -> None:
    for tree in cases():
        before = copy.deepcopy(tree)
        first = format.render(tree)
        assert isinstance(first, str) == format.is_text
        assert tree == before
        assert format.render(copy.deepcopy(tree)) == first


@by_name
def test_documents_are_json_and_lines_are_lines(format: Format) -> None:
    for tree in cases():
        rendered = format.render(tree)
        if isinstance(rendered, str):
            assert rendered.splitlines() == [rendered]
            assert "\x00" not in rendered
            rendered.encode()
        else:
            assert json.loads(json.dumps(rendered, allow_nan=False)) == rendered
            json.dumps(rendered, ensure_ascii=False).encode()


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, path)]
    return [(path.lstrip("."), value)]


@by_name
@pytest.mark.parametrize("record", [EXPLICIT, AMBIGUOUS, CORRELATED, GAP])
def test_attribution_and_path_are_in_every_format(format: Format, record: Any) -> None:
    tree = as_dict(record)
    rendered = format.render(tree)
    shown = rendered if isinstance(rendered, str) else json.dumps(rendered)
    cause = tree["hop"]["cause"] if "hop" in tree else "none"
    assert cause in shown
    assert "ttribution" in shown or (format.preamble and "attribution" in format.preamble)
    if "chain" in tree:
        assert tree["chain"]["path"] in shown


# Where a format says who did it: what there is empty when that is not decided.
USER_FIELDS = {
    "ecs": ("user.name", "user.id", "user.domain"),
    "ocsf": ("actor.user.name", "user.name"),
    "splunk": ("event.user", "event.src_user"),
    "asim": ("ActorUsername", "TargetUsername", "Username"),
    "udm": ("principal.user.userid",),
    "eve": ("hop.user",),
}


@pytest.mark.parametrize("record", [AMBIGUOUS, AGREED], ids=["differ", "agree on the head"])
@by_name
def test_nobody_is_named_where_it_is_not_decided(format: Format, record: Any) -> None:
    decided, open_ = format.render(as_dict(EXPLICIT)), format.render(as_dict(record))
    if isinstance(open_, str) or isinstance(decided, str):
        assert isinstance(open_, str) and isinstance(decided, str)
        fields = {"cef": " suser=", "leef": "\tusrName="}
        if format.name in fields:
            assert f"{fields[format.name]}bob@acme" in decided
            assert fields[format.name] not in open_
        else:
            assert decided.split("\t")[11] == "bob@acme" and open_.split("\t")[11] == "-"
    else:
        named = [value for path, value in leaves(open_) if path in USER_FIELDS[format.name]]
        assert not set(named) & set(CONCEIVABLE)
        assert "bob@acme" in [
            value for path, value in leaves(decided) if path in USER_FIELDS[format.name]
        ]
    shown = open_ if isinstance(open_, str) else json.dumps(open_)
    for user in CONCEIVABLE:  # but all of them can be found
        escaped = {"zeek": user.replace("\\", "\\x5c")}.get(format.name, user)
        plain = shown.replace("\\\\", "\\").replace("\\\\", "\\").replace("\\:", ":")
        assert escaped in plain.replace("\\x5c\\x5c", "\\x5c").replace("\\x5c:", ":")


@by_name
@pytest.mark.parametrize("make", [hostile, hostile_candidates])
@pytest.mark.parametrize("size", [1, 20, 1000, 10_000])
def test_paths_are_cut_for_keyword_fields(format: Format, make: Any, size: int) -> None:
    rendered = format.render(as_dict(make("x" * size)))
    if not isinstance(rendered, str):
        found = [value for _, value in leaves(rendered)]
    elif format.name == "cef":
        found = [rendered.partition("cs1=")[2].partition(" cs1Label")[0]]
    else:
        found = re.split("[\t,]", rendered)
    paths = [str(each) for each in found if str(each).startswith(("VCD:", "hopChain=VCD:"))]
    assert paths
    if format.name not in ("splunk", "asim", "udm", "eve"):  # there, candidates are whole
        assert max(len(each.removeprefix("hopChain=")) for each in paths) <= text.KEYWORD_MAX


def test_each_golden_record_kind_is_there() -> None:
    kinds: set[str] = {tree["kind"] for tree in cases()}
    assert kinds == {"login", "logout", "action", "chain", "alert", "gap"}


def test_trees() -> None:
    tree: Tree = as_dict(EXPLICIT)
    assert tree["chain"]["path"] == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
