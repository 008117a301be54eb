"""No name or address gets past the pseudonyms, and what a record says stays what it says."""

import ipaddress
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.filters import filter_of
from exporters.formats.registry import FORMATS
from exporters.payload import payload_of
from exporters.privacy import USER_EVIDENCE, Dropper, Pseudonyms, split_path
from sensor.hashing import KeyedHasher
from sensor.records import (
    Candidate,
    Chain,
    Client,
    Endpoint,
    Evidence,
    FlowRef,
    Hop,
    ObjectRef,
    Operation,
    Record,
    Tls,
    as_dict,
    path_of,
)
from tests.packaged import CAPTURES

HASHER = KeyedHasher(bytes(32))
PSEUDONYM = re.compile(r"u-[0-9a-f]{20}")
GOLDEN = sorted(
    path
    for path in CAPTURES.glob("*/records.ndjson")
    if path.parent.name != "tls-resumption"  # nobody logs in
)


def applied(record: Record, *kinds: str) -> dict[str, Any]:
    return Pseudonyms(HASHER, kinds or ("user",)).apply(as_dict(record))


def texts(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, dict):
        for each in item.values():
            yield from texts(each)
    elif isinstance(item, list):
        for each in item:
            yield from texts(each)


def user_names(records: list[dict[str, Any]]) -> set[str]:
    """Everything that a record calls a user, and the same without its domain."""
    names: set[str] = set()
    for record in records:
        hop, extra = record.get("hop", {}), record.get("extra", {})
        names |= {*record.get("chain", {}).get("users", ()), hop.get("user", "")}
        names |= {record.get("guest_user", ""), extra.get("initiated_by", "")}
        names |= {record.get(end, {}).get("user", "") for end in ("from", "to")}
        names |= {each.get("user", "") for each in hop.get("candidates", ())}
        evidence = hop.get("evidence", ())
        names |= {each.get("value", "") for each in evidence if each["key"] in USER_EVIDENCE}
    bare = {name.rpartition("\\")[2].partition("@")[0] for name in names}
    return {name for name in names | bare if len(name) > 2}


# Words of the schema that are also somebody's name there: operations, classes, services, reasons.
def open_texts(tree: dict[str, Any]) -> str:
    kept = {key: item for key, item in tree.items() if key not in ("reason", "sensor", "op")}
    kept["op"] = tree.get("op", {}).get("id", "")
    return "\n".join(texts(kept))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_no_user_name_of_a_capture_is_left(path: Path) -> None:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    names = user_names(records)
    assert names
    before = "\n".join(map(open_texts, records))
    pseudonyms = Pseudonyms(HASHER, ("user",))
    after = "\n".join(open_texts(pseudonyms.apply(record)) for record in records)
    whole_words = [rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])" for name in names]
    for word in whole_words:
        assert re.search(word, before, re.IGNORECASE)
        assert not re.search(word, after, re.IGNORECASE), word
    assert PSEUDONYM.search(after)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_no_address_of_a_capture_is_left(path: Path) -> None:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    addresses = {record[end]["ip"] for record in records for end in ("from", "to")}
    pseudonyms = Pseudonyms(HASHER, ("ip",))
    trees = [pseudonyms.apply(record) for record in records]
    after = "\n".join(texts(trees))
    for address in addresses:
        assert not re.search(rf"(?<![\d.]){re.escape(address)}(?![\d.])", after)
    assert "community_id" not in json.dumps(trees)
    mapped = {tree["from"]["ip"] for tree in trees} | {tree["to"]["ip"] for tree in trees}
    assert len(mapped) == len(addresses)
    assert all(ipaddress.ip_address(each) in NOBODYS for each in mapped)


NOBODYS = ipaddress.ip_network("2001:db8::/32")


@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda format: format.name)
def test_no_format_brings_a_name_back(format: Any) -> None:
    path = next(path for path in GOLDEN if path.parent.name == "chain-small-clear")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    pseudonyms = Pseudonyms(HASHER, ("user", "ip"))
    written = b"\n".join(payload_of(format, pseudonyms.apply(each)) for each in records)
    for name in (b"bob@acme", b"alice@acme", b"vCloudService", b"10.77."):
        assert any(name in payload_of(format, each) for each in records)
        assert name not in written


FULL = Record(
    kind="action",
    ts=1,
    id="0197-1",
    chain=Chain(
        "0197-0",
        path_of([("VCD", "bob:x@acme"), ("VC", "CORP\\svc"), ("ESX", "")]),
        ("bob:x@acme", "CORP\\svc"),
        ("VCD", "VC"),
        3,
    ),
    hop=Hop(
        1,
        2,
        "VC",
        "CORP\\svc",
        "ambiguous",
        0.5,
        parent_id="0197-2",
        candidates=(Candidate("0197-3", "Zoë", "VCD:Zoë:VC:CORP\\\\svc", 0.5),),
        evidence=(
            Evidence("claimed_user", "eve", "claimed"),
            Evidence("operation_id", "zoë-op-1", "asserted"),
            Evidence("leg", "C1 1:Q60SdqlN90PvQht27YyDSCuFDPI= 10.0.0.1 4 fd00::1 5"),
        ),
    ),
    source=Endpoint("10.0.0.1", 40000, "VCD", "bob:x@acme", "b2s:00"),
    to=Endpoint("fd00::1", 443, "VC", "CORP\\svc", "b2s:01", "esx-of-bob.example.org"),
    op=Operation("AddRole", "vim25 8.0.3.0", "update", "svc-7"),
    target=ObjectRef("User", "EVE", "eve"),
    fault="user zoë may not: eve@10.0.0.9 [fd00::9]:443 at 12:34:56 in 1.2.3.4.5",
    guest_user="Administrator",
    flow=FlowRef("tcp", "1:Q60SdqlN90PvQht27YyDSCuFDPI=", "Cx"),
    tls=Tls("TLS 1.3", client_subject="CN=Eve Evans,O=Lab", client_fingerprint="ab"),
    client=Client("tool/1.2.3.4 by svc", "10.0.0.1"),
    extra={"initiated_by": "mallory", "related": "/home/eve/x, newvm, 7", "value": "BOB:X@ACME"},
)


def test_every_place_of_a_user() -> None:
    pseudonyms = Pseudonyms(HASHER, ("user",))
    tree = pseudonyms.apply(as_dict(FULL))
    bob, svc, zoe, eve = map(pseudonyms.user, ("bob:x@acme", "CORP\\svc", "Zoë", "eve"))
    assert split_path(tree["chain"]["path"]) == ["VCD", bob, "VC", svc, "ESX", "?"]
    assert tree["chain"]["users"] == [bob, svc]
    assert tree["hop"]["user"] == tree["to"]["user"] == svc
    assert tree["from"]["user"] == bob
    [candidate] = tree["hop"]["candidates"]
    assert candidate == {
        "id": "0197-3", "user": zoe, "path": f"VCD:{zoe}:VC:{svc}", "confidence": 0.5,
    }  # fmt: skip
    assert [each["value"] for each in tree["hop"]["evidence"]][:2] == [eve, f"{zoe}-op-1"]
    assert tree["target"] == {"type": "User", "id": eve, "name": eve}
    assert tree["fault"].startswith(f"user {zoe} may not: {eve}@10.0.0.9 ")
    assert tree["guest_user"] == pseudonyms.user("administrator")
    assert tree["tls"]["client_subject"] == pseudonyms.user("CN=Eve Evans,O=Lab")
    assert tree["extra"] == {
        "initiated_by": pseudonyms.user("mallory"),
        "related": f"/home/{eve}/x, {pseudonyms.user('newvm')}, 7",
        "value": bob,
    }
    assert tree["client"]["user_agent"] == f"tool/1.2.3.4 by {pseudonyms.user('svc')}"
    # What is nobody's name is as it was.
    for key in ("schema", "kind", "ts", "id", "flow"):
        assert tree[key] == as_dict(FULL)[key]
    assert tree["op"] == as_dict(FULL)["op"] | {"id": f"{pseudonyms.user('svc')}-7"}
    assert tree["hop"]["parent_id"] == "0197-2"


def test_every_place_of_an_address() -> None:
    pseudonyms = Pseudonyms(HASHER, ("ip",))
    tree = pseudonyms.apply(as_dict(FULL))
    one, six = pseudonyms.address("10.0.0.1"), pseudonyms.address("fd00::1")
    assert tree["from"]["ip"] == tree["client"]["forwarded_for"] == one
    assert tree["to"]["ip"] == six
    assert tree["hop"]["evidence"][2]["value"] == f"C1 - {one} 4 {six} 5"
    nine, nine6 = pseudonyms.address("10.0.0.9"), pseudonyms.address("fd00::9")
    assert tree["fault"] == f"user zoë may not: eve@{nine} [{nine6}]:443 at 12:34:56 in 1.2.3.4.5"
    assert tree["client"]["user_agent"] == "tool/1.2.3.4 by svc"
    assert tree["op"]["api"] == "vim25 8.0.3.0"
    assert tree["from"]["user"] == "bob:x@acme"


def test_addresses_that_are_accounts_are_hidden_in_every_path() -> None:
    path = path_of([("VC", "root@10.0.0.1"), ("ESX", "fd00::1")])
    record = Record(
        kind="action",
        ts=1,
        chain=Chain("0197-1", path, ("root@10.0.0.1", "fd00::1"), ("VC", "ESX"), 2),
        hop=Hop(1, 2, "ESX", "fd00::1", "ambiguous", 0.5,
                candidates=(Candidate("0197-2", "root@10.0.0.1", path, 0.5),)),
    )  # fmt: skip
    pseudonyms = Pseudonyms(HASHER, ("ip",))
    tree = pseudonyms.apply(as_dict(record))
    users = [f"root@{pseudonyms.address('10.0.0.1')}", pseudonyms.address("fd00::1")]
    assert tree["chain"]["users"] == users
    hidden = path_of(zip(("VC", "ESX"), users, strict=True))
    assert tree["chain"]["path"] == tree["hop"]["candidates"][0]["path"] == hidden
    assert tree["hop"]["candidates"][0]["user"] == users[0]


def test_both_at_once_and_nothing_of_the_original_is_changed() -> None:
    record = as_dict(FULL)
    whole = json.dumps(record)
    tree = Pseudonyms(HASHER, ("user", "ip")).apply(record)
    assert json.dumps(record) == whole
    after = json.dumps(tree, ensure_ascii=False)
    for text in ("bob:x", "CORP", "Zoë", "zoë", "Eve", "mallory", "10.0.0", "fd00"):
        assert text not in after, text


def test_a_pseudonym_needs_the_key_and_is_the_same_everywhere() -> None:
    one, same = (Pseudonyms(HASHER, ("user",)) for _ in range(2))
    other = Pseudonyms(KeyedHasher(b"k" * 32), ("user",))
    assert one.user("Bob@ACME") == same.user("bob@acme") != other.user("bob@acme")
    assert one.address("10.0.0.1") == same.address("10.0.0.1") != other.address("10.0.0.1")
    assert (one.user(""), one.user("?")) == ("", "?")
    assert PSEUDONYM.fullmatch(one.user("x"))
    assert HASHER("bob@acme")[4:24] not in one.user("bob@acme")  # no hash of a token either


def test_a_name_of_an_earlier_record_is_known_in_a_later_text() -> None:
    pseudonyms = Pseudonyms(HASHER, ("user",))
    pseudonyms.apply(as_dict(Record(kind="login", ts=1, to=Endpoint(user="dave@globex"))))
    later = pseudonyms.apply(
        as_dict(Record(kind="gap", ts=2, fault="no rights: DAVE@globex, dave"))
    )
    dave, bare = pseudonyms.user("dave@globex"), pseudonyms.user("dave")
    assert later["fault"] == f"no rights: {dave}, {bare}"


def test_aliases_are_the_pseudonyms_of_a_record() -> None:
    pseudonyms = Pseudonyms(HASHER, ("user", "ip"))
    aliases = pseudonyms.aliases(as_dict(FULL))
    for name in ("bob:x@acme", "CORP\\svc", "zoë", "eve", "mallory", "administrator"):
        assert pseudonyms.user(name) in aliases
    assert pseudonyms.address("10.0.0.1") in aliases
    assert Pseudonyms(HASHER, ()).aliases(as_dict(FULL)) == set()


def test_names_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.privacy.NAMES_MAX", 10)
    pseudonyms = Pseudonyms(HASHER, ("user",))
    for number in range(100):
        pseudonyms.user(f"user{number}")
    assert len(pseudonyms._seen) == 10


def test_dropped_fields() -> None:
    record = as_dict(FULL)
    tree = Dropper(("extra.value", "client", "to.user", "flow.uid", "nothing.of")).apply(record)
    assert tree["extra"].keys() == record["extra"].keys() - {"value"}
    assert "client" not in tree and "user" not in tree["to"]
    assert "client" in record and "user" in record["to"]
    assert Dropper(("hop.evidence", "hop.candidates")).apply(record)["hop"].keys() == {
        "index", "count", "service", "user", "parent_id", "cause", "confidence",
    }  # fmt: skip
    bare = {"schema": "hop/1", "kind": "gap", "extra": {"a": "b"}}
    assert Dropper(("extra.a",)).apply(bare) == {"schema": "hop/1", "kind": "gap"}


@pytest.mark.parametrize(
    ("kinds", "services", "classes", "taken"),
    [
        ((), (), (), True),
        (("action",), (), (), True),
        (("login", "alert"), (), (), False),
        ((), ("VCD",), (), True),
        ((), ("VC", "KVM"), (), True),
        ((), ("KVM",), (), False),
        ((), (), ("update",), True),
        ((), (), ("delete", "power"), False),
        (("action",), ("VCD",), ("delete",), False),
    ],
)
def test_filters(
    kinds: tuple[str, ...], services: tuple[str, ...], classes: tuple[str, ...], taken: bool
) -> None:
    assert filter_of(kinds, services, classes).takes(FULL) is taken


def test_a_record_without_chain_or_operation_is_filtered_by_what_it_has() -> None:
    bare = Record(kind="gap", ts=1, to=Endpoint("10.0.0.1", 443, "ESX"))
    assert filter_of((), ("ESX",), ()).takes(bare)
    assert not filter_of((), ("VC",), ()).takes(bare)
    assert not filter_of((), (), ("delete",)).takes(bare)
