"""IBM's Log Event Extended Format 2.0, delimited by tabs.

LEEF knows no escape: what would delimit becomes a space, in the header a pipe is left out. QRadar
takes 4096 bytes of a message over TCP, syslog header included.
"""

from collections.abc import Iterator

from exporters.formats.format import Format
from exporters.formats.moment import milliseconds
from exporters.formats.reading import PRODUCT, VENDOR, Reading, domain_of, ip_version, read
from exporters.formats.text import cut_bytes, spaced
from exporters.transport import Tree

LINE_MAX = 4096 - 396
EVENT_ID_MAX, VERSION_MAX = 255, 31
# In the order of their worth: a line that would grow too long loses keys from the end. Bytes each.
_SIZES = {
    "devTime": 13, "cat": 64, "sev": 2, "recordId": 64, "attribution": 16, "usrName": 255,
    "accountName": 255, "src": 45, "dst": 45, "srcPort": 5, "dstPort": 5, "hopChain": 1024,
    "operation": 128, "outcome": 16, "reason": 255, "candidates": 512, "proto": 16,
    "identSrc": 45, "resource": 255, "target": 255, "role": 16, "domain": 128, "hopIndex": 8,
    "confidence": 8, "state": 16, "amends": 64, "communityId": 64, "chainId": 64, "session": 128,
    "operationId": 128, "fromService": 16, "toService": 16, "api": 32, "method": 32,
    "url": 255, "gapBytes": 20, "sensor": 64, "userAgent": 255,
}  # fmt: skip


def render(record: Tree) -> str:
    it = read(record)
    version = _header(it.version, VERSION_MAX)
    event_id = _header(it.event_class, EVENT_ID_MAX)
    head = f"LEEF:2.0|{VENDOR}|{PRODUCT}|{version}|{event_id}|x09|"
    room = LINE_MAX - len(head.encode())
    values = {key: value for key, value in _values(it) if value != ""}
    pairs = []
    for key, bytes_max in _SIZES.items():
        if key not in values:
            continue
        text = f"{key}={cut_bytes(spaced(values[key]), bytes_max)}"
        size = len(text.encode()) + 1
        if size <= room:
            pairs.append(text)
            room -= size
    return head + "\t".join(pairs)


def _header(text: str, bytes_max: int) -> str:
    return cut_bytes(spaced(text).replace("|", ""), bytes_max)


def _values(it: Reading) -> Iterator[tuple[str, str]]:
    flow, op, sensor = it.part("flow"), it.part("op"), it.part("sensor")
    source, to, target = it.part("from"), it.part("to"), it.part("target")
    yield "devTime", str(milliseconds(it.start_ns))
    yield "cat", it.kind
    yield "sev", str(it.severity)
    yield "recordId", it.id
    yield "attribution", it.attribution
    yield "usrName", it.asker
    yield "accountName", it.account
    yield "domain", domain_of(it.asker)
    yield "role", it.head.service if it.asker else ""
    yield "src", _address(source.get("ip"))
    yield "dst", _address(to.get("ip"))
    yield "srcPort", str(source.get("port", ""))
    yield "dstPort", str(to.get("port", ""))
    if it.asker and not it.is_delegated:  # of who asked above, this record has no address
        yield "identSrc", _address(source.get("ip"))
    yield "proto", str(flow.get("proto", "")).upper()
    yield "hopChain", it.path
    yield "operation", it.operation
    yield "outcome", it.text("outcome")
    yield "reason", it.trouble
    yield "candidates", it.suspects
    yield "resource", str(to.get("host") or to.get("service") or "")
    yield "target", " ".join(str(target[key]) for key in ("id", "name", "type") if target.get(key))
    if it.part("hop"):
        yield "hopIndex", str(it.part("hop").get("index", 0))
        yield "confidence", f"{it.confidence:g}"
        yield "state", str(it.part("hop").get("state", ""))
    yield "amends", it.text("amends")
    yield "communityId", str(flow.get("community_id", ""))
    yield "chainId", str(it.part("chain").get("id", ""))
    yield "session", str(to.get("session", ""))
    yield "url", it.request[1].partition("?")[0]
    yield "gapBytes", str(it.tree.get("gap_bytes", ""))
    yield "sensor", str(sensor.get("id", ""))
    yield "userAgent", str(it.part("client").get("user_agent", ""))
    yield "fromService", str(source.get("service", ""))
    yield "toService", str(to.get("service", ""))
    yield "api", str(op.get("api", ""))
    yield "method", str(op.get("method", ""))
    yield "operationId", str(op.get("id", ""))


def _address(address: object) -> str:
    """QRadar wants addresses; a pseudonym is none."""
    return str(address) if address and ip_version(str(address)) else ""


FORMAT = Format("leef", render, is_text=True, bytes_max=LINE_MAX)
