"""Syslog messages, RFC 5424: a header, the record as structured data, one sentence for people.

SD-ELEMENT `hop@32473` has each leaf of hop/1 under its path: chain.path, hop.evidence.0.key.
Any other format goes into MSG, behind the same header.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from exporters.formats.format import Format
from exporters.transport import Tree

MESSAGE_BYTES_MAX = 8192  # what a receiver should accept, RFC 5425 section 4.3.1
DATAGRAM_BYTES_MAX = 2048  # what it should accept over UDP, RFC 5424 section 6.1
ENTERPRISE = 32473  # the number for documentation, RFC 5612

_AUDIT = 13 * 8  # facility "log audit"
_WARNING, _INFO = 4, 6  # severities
_HOST_CHARS, _NAME_CHARS, _MSGID_CHARS = 255, 32, 32  # RFC 5424 section 6, 6.3.2
_SENTENCE_BYTES = 480  # of a message that is cut: what every receiver must accept of one
_VALUE_BYTES_MIN = 24  # a value cut shorter than this says too little
_BOM = "\ufeff"

# What goes first when a message is too large; anything else is of more use.
_GIVEN_UP_FIRST = (
    "tls.", "client.", "hop.evidence.", "hop.candidates.", "extra.", "chain.users.",
    "chain.services.",
)  # fmt: skip

# Section 6.3.3 escapes these three and nothing else. A control character cannot be escaped and must
# not reach a file of lines as it is: it is written as rsyslog writes it. UTF-8 has no surrogates.
_SPECIAL = re.compile('["\\\\\\]\x00-\x1f\x7f\ud800-\udfff]')
_SPECIAL_BUT_SEPARATOR = re.compile('["\\\\\\]\x01-\x1f\x7f\ud800-\udfff]')
_SEPARATOR = "\0"
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_NO_NAME = re.compile('[^!-~]|[= \\]"]')
_NO_HEADER = re.compile("[^!-~]")


def message(tree: Tree, *, bytes_max: int = MESSAGE_BYTES_MAX, sequence: int = 0) -> bytes:
    """The record as structured data. What does not fit is cut or left out, and `cut` counts it."""
    names, values = _params(tree)
    said = _UNPRINTABLE.sub(_visible, sentence(tree))
    before = f"{header(tree)} [hop@{ENTERPRISE}"
    after = f"]{_elements(tree, sequence)} {_BOM}"
    pairs = zip(names, _all_escaped(values), strict=True)
    data = "".join([f' {name}="{value}"' for name, value in pairs])
    encoded = f"{before}{data}{after}{said}".encode()
    if len(encoded) <= bytes_max:
        return encoded
    after += cut(said, _SENTENCE_BYTES)
    room = bytes_max - len(before.encode()) - len(after.encode())
    return f"{before}{_fit(dict(zip(names, values, strict=True)), room)}{after}".encode()


def envelope(tree: Tree, payload: bytes, *, sequence: int = 0) -> bytes:
    """A line or a document of another format as MSG. No BOM: parsers of JSON stumble over it."""
    data = f"[meta sequenceId={_quoted(sequence)}]" if sequence else "-"
    return f"{header(tree)} {data} ".encode() + payload


def header(tree: Tree) -> str:
    """All of the header but the structured data. HOST is the sensor's id, MSGID the kind."""
    host = _word(tree.get("sensor", {}).get("id", ""), _HOST_CHARS)
    kind = _word(tree["kind"], _MSGID_CHARS)
    return f"<{_priority(tree)}>1 {_timestamp(tree['ts'])} {host} hoptap - {kind}"


def sentence(tree: Tree) -> str:
    """What happened, for a person who reads the log."""
    kind = tree["kind"]
    if kind == "gap":
        said = f"{tree.get('gap_bytes', 0)} bytes were not seen between {_sides(tree)}"
    elif kind == "chain":
        said = f"record {tree.get('amends', '?')} is amended: {_deed(tree)}"
    elif kind == "alert":
        return f"alert {tree.get('reason', '')}: {_deed(tree)}{_path(tree)}"
    else:
        said = f"{_deed(tree)}{_path(tree)}"
    return f"{said}; {tree['reason']}" if "reason" in tree else said


def escape(value: str) -> str:
    """A PARAM-VALUE, RFC 5424 section 6.3.3."""
    return _SPECIAL.sub(_escaped, value)


def cut(text: str, bytes_max: int) -> str:
    """The longest beginning of a text that takes no more UTF-8 bytes, in whole characters."""
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) <= bytes_max:
        return text
    while encoded[bytes_max] & 0xC0 == 0x80:  # the middle of a character
        bytes_max -= 1
    return encoded[:bytes_max].decode("utf-8", "surrogatepass")


def leaves(tree: Any) -> list[tuple[str, str]]:
    """Every leaf of a record with its path, in the record's order; an item of a list by number."""
    found: list[tuple[str, str]] = []
    _add_leaves(tree.items(), "", found)
    return found


def _add_leaves(items: Iterable[tuple[Any, Any]], path: str, found: list[tuple[str, str]]) -> None:
    for key, item in items:
        if isinstance(item, str):
            found.append((f"{path}{key}", item))
        elif isinstance(item, dict):
            _add_leaves(item.items(), f"{path}{key}.", found)
        elif isinstance(item, list):
            _add_leaves(enumerate(item), f"{path}{key}.", found)
        elif isinstance(item, bool):
            found.append((f"{path}{key}", "true" if item else "false"))
        else:
            found.append((f"{path}{key}", str(item)))


def _params(tree: Tree) -> tuple[list[str], list[str]]:
    """Names as PARAM-NAME allows them, and values. A name is there once."""
    found = leaves(tree)
    names = [_param_name(path) for path, _ in found]
    values = [value for _, value in found]
    return (names if len(set(names)) == len(names) else _distinct(names)), values


def _distinct(names: list[str]) -> list[str]:
    """Only a key of `extra` can come to the name of another: it gets a number."""
    taken: dict[str, None] = {}
    for name in names:
        each, number = name, 1
        while each in taken:
            number += 1
            each = f"{name[: _NAME_CHARS - 4]}~{number}"
        taken[each] = None
    return list(taken)


def _all_escaped(values: list[str]) -> list[str]:
    """All values in one pass over their text, not one pass for each."""
    joined = _SEPARATOR.join(values)
    if joined.count(_SEPARATOR) != len(values) - 1:
        return [escape(value) for value in values]
    return _SPECIAL_BUT_SEPARATOR.sub(_escaped, joined).split(_SEPARATOR)


@lru_cache(1024)
def _param_name(path: str) -> str:
    return _NO_NAME.sub("_", path)[:_NAME_CHARS] or "_"


def _fit(params: dict[str, str], room: int) -> str:
    """As many params as fit, the most useful ones first, in the record's order."""
    room -= len(' cut="99999"')
    longest = room // 4  # one value does not take the room of all others
    kept: dict[str, str] = {}
    missed = 0
    for name in sorted(params, key=_usefulness):
        value = escape(params[name])
        left = min(room - len(f' {name}=""'), longest)
        if len(value.encode()) > left:
            missed += 1
            if left < _VALUE_BYTES_MIN:
                continue
            value = _escaped_within(params[name], left)
        kept[name] = f' {name}="{value}"'
        room -= len(kept[name].encode())
    text = "".join(kept[name] for name in params if name in kept)
    return f'{text} cut="{missed}"'


def _usefulness(name: str) -> int:
    for rank, prefix in enumerate(_GIVEN_UP_FIRST):
        if name.startswith(prefix):
            return len(_GIVEN_UP_FIRST) - rank
    return 0


def _escaped_within(value: str, bytes_max: int) -> str:
    """Cut, then escaped, so that no escape is cut in two."""
    value = cut(value, bytes_max)
    while (over := len(escape(value).encode()) - bytes_max) > 0:
        # A character becomes six bytes at most: this does not take away too much.
        value = value[: -max(1, over // 6)]
    return escape(value)


def _elements(tree: Tree, sequence: int) -> str:
    version = tree.get("sensor", {}).get("version", "")
    software = f' swVersion="{escape(cut(version, 32))}"' if version else ""
    origin = f'[origin software="hoptap"{software}][timeQuality tzKnown="1"]'
    return f"{origin}[meta sequenceId={_quoted(sequence)}]" if sequence else origin


def _quoted(number: int) -> str:
    return f'"{number}"'


def _priority(tree: Tree) -> int:
    """Warning: an action of unknown origin, an alert, a gap."""
    nobody = tree.get("hop", {}).get("cause") == "none" and tree["kind"] == "action"
    return _AUDIT + (_WARNING if nobody or tree["kind"] in ("alert", "gap") else _INFO)


def _word(text: str, chars_max: int) -> str:
    return _NO_HEADER.sub("_", text)[:chars_max] or "-"


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    return f"\\{char}" if char in '"\\]' else escape(_visible(found))


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"#{code:03o}" if code < 0x80 else f"\\u{code:04x}"


def _timestamp(time_ns: int) -> str:
    """Six digits of a second at most, RFC 5424 section 6.2.3; the rest is in `ts`."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest_ns // 1000:06d}Z"


@lru_cache(64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _deed(tree: Tree) -> str:
    """Who did what to which object, where, from where, and how it ended."""
    op, to, source = tree.get("op", {}), tree.get("to", {}), tree.get("from", {})
    user = tree.get("hop", {}).get("user") or to.get("user") or "somebody unknown"
    verb = _VERBS.get(tree["kind"], "called")
    object_ = tree.get("target", {})
    named = [object_.get("type", ""), object_.get("name") or object_.get("id", "")]
    words = [user, verb, op.get("name", "") if verb == "called" else ""]
    words += ["on", *named] if any(named) else []
    words += ["at" if verb == "called" else "", _side(to)]
    words += ["from", source["ip"]] if "ip" in source else []
    outcome = ", ".join(filter(None, (tree.get("outcome", ""), tree.get("fault", ""))))
    return " ".join(filter(None, words)) + (f": {outcome}" if outcome else "")


_VERBS = {"login": "logged in to", "logout": "logged out of"}


def _side(end: Tree) -> str:
    return " ".join(filter(None, (end.get("service", ""), end.get("ip", "")))) or "?"


def _sides(tree: Tree) -> str:
    return f"{_side(tree.get('from', {}))} and {_side(tree.get('to', {}))}"


def _path(tree: Tree) -> str:
    chain = tree.get("chain", {})
    return f"; chain {chain['path']}" if chain.get("depth", 0) > 1 and "path" in chain else ""


def _render(tree: Tree) -> str:
    return message(tree).decode()


RFC5424 = Format("rfc5424", _render, is_text=True, bytes_max=MESSAGE_BYTES_MAX)
