r"""ArcSight Common Event Format, version 1.

A header's `\` and `|` are escaped, an extension's `\`, `=` and line feed; a pipe there is not, and
an equals sign in the header is not. Names are constants without a pipe: parsers are known that
lose a header field with an escaped one. Sizes are in bytes, cut before escaping.
"""

from collections.abc import Iterator

from exporters.formats.format import Format
from exporters.formats.moment import milliseconds
from exporters.formats.reading import PRODUCT, VENDOR, Reading, ip_version, read
from exporters.formats.text import cut_bytes, visible
from exporters.transport import Tree

VERSION_MAX, CLASS_MAX = 31, 1023
LINE_MAX = 8192 - 396  # what a syslog receiver should take over TLS (RFC 5425), less its header
_NAMES = {
    "login": "Login",
    "logout": "Logout",
    "action": "Action",
    "chain": "Chain",
    "alert": "Alert",
    "gap": "Capture gap",
}
# Keys that ArcSight's dictionary has, the most telling first, with their size in bytes. A line
# that would grow too long loses keys from the end.
_SIZES = {
    "rt": 13, "externalId": 40, "cat": 1023, "act": 63, "outcome": 63,
    "cs1": 4000, "cs4": 4000, "suser": 1023, "duser": 1023,
    "src": 45, "spt": 5, "dst": 45, "dpt": 5, "c6a2": 45, "c6a3": 45,
    "start": 13, "end": 13, "reason": 1023,
    "sourceServiceName": 1023, "destinationServiceName": 1023, "shost": 1023, "dhost": 1023,
    "suid": 1023, "duid": 1023, "app": 31, "proto": 31, "dvchost": 100, "deviceExternalId": 255,
    "cs2": 4000, "cs3": 4000, "cs5": 4000, "cs6": 4000, "cn1": 20, "cn2": 20, "cfp1": 20,
    "flexString1": 1023, "flexString2": 1023, "deviceInboundInterface": 128,
    "requestClientApplication": 1023, "msg": 1023,
}  # fmt: skip
_LABELS = {
    "c6a2": "sourceIPv6",
    "c6a3": "destinationIPv6",
    "cs1": "delegateChain",
    "cs2": "communityId",
    "cs3": "session",
    "cs4": "attribution",
    "cs5": "target",
    "cs6": "operationId",
    "cn1": "hopIndex",
    "cn2": "gapBytes",
    "cfp1": "confidence",
    "flexString1": "state",
    "flexString2": "amends",
}
_HEADER = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": " ", "\r": " "})
_ESCAPES = (("\\", "\\\\"), ("=", "\\="), ("\n", "\\n"), ("\r", "\\r"))  # in this order


def render(record: Tree) -> str:
    it = read(record)
    version = _header(it.version, VERSION_MAX)
    event_class = _header(it.event_class, CLASS_MAX)
    name = _NAMES.get(it.kind, "Record")
    head = f"CEF:1|{VENDOR}|{PRODUCT}|{version}|{event_class}|{name}|{it.severity}|"
    room = LINE_MAX - len(head.encode())
    values = {key: value for key, value in _values(it) if value.strip(" ")}
    pairs = []
    for key in _SIZES:
        if key not in values:
            continue
        text = _pair(key, values[key])
        size = len(text.encode()) + 1
        if size <= room:
            pairs.append(text)
            room -= size
    return head + " ".join(pairs)


def _header(text: str, bytes_max: int) -> str:
    return cut_bytes(visible(text), bytes_max).translate(_HEADER)


def _pair(key: str, value: str) -> str:
    """With its label, where the key's meaning is ours. Blanks at the end would be lost anyway."""
    shown = cut_bytes(visible(value), _SIZES[key]).rstrip(" ")
    for plain, escaped in _ESCAPES:
        shown = shown.replace(plain, escaped)
    label = f" {key}Label={_LABELS[key]}" if key in _LABELS else ""
    return f"{key}={shown}{label}"


def _values(it: Reading) -> Iterator[tuple[str, str]]:
    flow, op, sensor = it.part("flow"), it.part("op"), it.part("sensor")
    source, to, target = it.part("from"), it.part("to"), it.part("target")
    yield "rt", str(milliseconds(it.start_ns))
    yield "start", str(milliseconds(it.start_ns))
    yield "end", str(milliseconds(it.end_ns))
    yield "externalId", it.id
    yield "cat", it.kind
    yield "act", it.operation
    yield "outcome", it.text("outcome")
    yield "reason", it.trouble
    yield "suser", it.asker
    yield "duser", it.account
    yield "suid", str(it.head) if it.asker else ""
    yield "duid", str(it.tail) if it.account else ""
    yield from _address(str(source.get("ip", "")), "src", "c6a2")
    yield from _address(str(to.get("ip", "")), "dst", "c6a3")
    yield "spt", str(source.get("port", ""))
    yield "dpt", str(to.get("port", ""))
    yield "shost", str(source.get("host", ""))
    yield "dhost", str(to.get("host", ""))
    yield "sourceServiceName", str(source.get("service", ""))
    yield "destinationServiceName", str(to.get("service", ""))
    yield "app", str(op.get("api", ""))
    yield "proto", str(flow.get("proto", "")).upper()
    yield "dvchost", str(sensor.get("id", ""))
    yield "deviceExternalId", str(sensor.get("id", ""))
    yield "deviceInboundInterface", str(sensor.get("iface", ""))
    yield "requestClientApplication", str(it.part("client").get("user_agent", ""))
    yield "msg", it.sentence
    yield "cs1", it.path
    yield "cs2", str(flow.get("community_id", ""))
    yield "cs3", str(to.get("session", ""))
    yield "cs4", it.attribution
    yield "cs5", " ".join(str(target[key]) for key in ("id", "name", "type") if target.get(key))
    yield "cs6", str(op.get("id", ""))
    if it.part("hop"):
        yield "cn1", str(it.part("hop").get("index", 0))
        yield "cfp1", f"{it.confidence:g}"
        yield "flexString1", str(it.part("hop").get("state", ""))
    yield "flexString2", it.text("amends")
    yield "cn2", str(it.tree.get("gap_bytes", ""))


def _address(address: str, key: str, key6: str) -> Iterator[tuple[str, str]]:
    """`src` and `dst` are for IPv4 only; a pseudonym fits in neither."""
    version = ip_version(address)
    if version:
        yield (key if version == 4 else key6), address


FORMAT = Format("cef", render, is_text=True, bytes_max=LINE_MAX)
