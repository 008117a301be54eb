r"""A tab-separated log as Zeek writes it, `hop.log`, for zeek-cut and all that reads such logs.

An absent field is `-`, an empty one `(empty)`, a set is separated by commas. A byte that would be
misread is escaped as \xNN, a backslash too; other text stays UTF-8, as Zeek has had it since 4.0.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from exporters.formats.format import Format
from exporters.formats.moment import SECOND_NS, epoch
from exporters.formats.reading import Reading, ip_version, read
from exporters.formats.text import cut
from exporters.transport import Tree

UNSET, EMPTY = "-", "(empty)"
FIELDS = (
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("community_id", "string"),
    ("record_id", "string"),
    ("kind", "string"),
    ("duration", "interval"),
    ("user", "string"),
    ("account", "string"),
    ("users", "set[string]"),
    ("chain", "string"),
    ("chain_id", "string"),
    ("attribution", "string"),
    ("confidence", "double"),
    ("candidates", "vector[string]"),
    ("hop_index", "count"),
    ("parent_id", "string"),
    ("state", "string"),
    ("orig_service", "string"),
    ("resp_service", "string"),
    ("resp_host", "string"),
    ("operation", "string"),
    ("operation_class", "string"),
    ("operation_id", "string"),
    ("api", "string"),
    ("method", "string"),
    ("target_type", "string"),
    ("target_id", "string"),
    ("target_name", "string"),
    ("outcome", "string"),
    ("fault", "string"),
    ("reason", "string"),
    ("orig_session", "string"),
    ("resp_session", "string"),
    ("user_agent", "string"),
    ("visibility", "string"),
    ("process", "string"),
    ("vlan", "int"),
    ("gap_bytes", "count"),
    ("amends", "string"),
    ("sensor", "string"),
)
PREAMBLE = "".join(
    f"{line}\n"
    for line in (
        "#separator \\x09",
        "#set_separator\t,",
        f"#empty_field\t{EMPTY}",
        f"#unset_field\t{UNSET}",
        "#path\thop",
        "\t".join(("#fields", *(name for name, _ in FIELDS))),
        "\t".join(("#types", *(kind for _, kind in FIELDS))),
    )
)
_MISREAD = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029]")
_MISREAD_IN_SET = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029,]")

Value = str | int | float | list[str] | None


def render(record: Tree) -> str:
    it = read(record)
    values = {name: value for block in (_base, _people, _call) for name, value in block(it)}
    return "\t".join(_cell(values[name]) for name, _ in FIELDS)


def _cell(value: Value) -> str:
    if value is None or value == "":
        return UNSET
    if isinstance(value, list):
        return ",".join(_element(each) for each in value) if value else EMPTY
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    """A text that looks like the mark of an absent or empty one is escaped by its first byte."""
    if text in (UNSET, EMPTY):
        return _escaped(text[0]) + text[1:]
    return _MISREAD.sub(lambda found: _escaped(found[0]), text)


def _element(text: str) -> str:
    if text in ("", UNSET, EMPTY):
        return _escaped(text[0]) + text[1:] if text else EMPTY
    return _MISREAD_IN_SET.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def _seconds(duration_ns: int) -> str:
    whole, rest_ns = divmod(duration_ns, SECOND_NS)
    return f"{whole}.{rest_ns // 1000:06d}"


Fields = Iterator[tuple[str, Value]]


def _base(it: Reading) -> Fields:
    flow, source, to = it.part("flow"), it.part("from"), it.part("to")
    yield "ts", epoch(it.start_ns)
    yield "uid", flow.get("uid")
    yield "id.orig_h", _address(source)
    yield "id.orig_p", source.get("port")
    yield "id.resp_h", _address(to)
    yield "id.resp_p", to.get("port")
    yield "proto", str(flow.get("proto", "")).lower()
    yield "community_id", flow.get("community_id")
    yield "vlan", flow.get("vlan")
    yield "record_id", it.id
    yield "kind", it.kind
    yield "sensor", it.part("sensor").get("id")
    yield "duration", _seconds(it.duration_ns)
    yield "gap_bytes", it.tree.get("gap_bytes")
    for name in ("visibility", "amends", "outcome", "fault", "reason"):
        yield name, it.text(name)


def _address(place: Mapping[str, Any]) -> Value:
    """Readers take the column for addresses at its word; a pseudonym is none."""
    address = str(place.get("ip", ""))
    return address if ip_version(address) else None


def _people(it: Reading) -> Fields:
    hop = it.part("hop")
    yield "user", it.asker
    yield "account", it.account
    yield "users", list(it.users)
    yield "chain", it.path
    yield "chain_id", it.part("chain").get("id")
    yield "attribution", it.attribution
    yield "confidence", it.confidence if hop else None
    yield "candidates", [cut(str(each.get("path") or each.get("user"))) for each in it.candidates]
    yield "hop_index", hop.get("index")
    yield "parent_id", hop.get("parent_id")
    yield "state", hop.get("state")
    for end, side in (("orig", "from"), ("resp", "to")):
        yield f"{end}_service", it.part(side).get("service")
        yield f"{end}_session", it.part(side).get("session")
    yield "resp_host", it.part("to").get("host")


def _call(it: Reading) -> Fields:
    op = it.part("op")
    yield "operation", it.operation
    yield "operation_class", it.operation_class
    yield "operation_id", op.get("id")
    yield "api", op.get("api")
    yield "method", op.get("method")
    for key in ("type", "id", "name"):
        yield f"target_{key}", it.part("target").get(key)
    yield "process", it.part("process").get("name")
    yield "user_agent", it.part("client").get("user_agent")


FORMAT = Format("zeek", render, is_text=True, preamble=PREAMBLE)
