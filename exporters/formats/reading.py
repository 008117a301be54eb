"""A record as the dialects read it: who, on whose account, where, when, and how sure that is.

Where the ways to an action differ, nobody is its user: `asker` is empty then, the accounts that
come into question are `candidates`, and every name that occurs anywhere is in `users`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from exporters.formats.text import cut_path, encodable_tree
from exporters.transport import Tree

VENDOR = PRODUCT = "hoptap"
UNKNOWN = "?"  # a service or an account in a path that was not seen
SEVERE, WARNING, NORMAL = 8, 5, 3  # of ten, as CEF and LEEF count
# Where a name is an account's.
_PERSONAL_TARGETS = ("User", "GuestUser", "Principal", "Session")
_PERSONAL_EXTRAS = ("initiated_by", "act_as", "delegate_to", "saml_subject")
_PERSONAL_EVIDENCE = ("claimed_user", "delegate", "impersonation", "guest_account", "proxy_account")
_PSEUDONYM = re.compile("u-[0-9a-f]{20}")  # as exporters/privacy.py makes them
_ELEMENT = re.compile(r"((?:[^:\\]|\\.|\\$)*)(?::|$)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_RESETS = ("restart", "reboot", "reset")
_STOPS = ("poweroff", "shutdown", "stop", "suspend", "standby", "destroy")
_STARTS = ("poweron", "start", "resume", "unpause", "create")
_REQUEST = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) (/\S*)")
_STATUS = re.compile(r"HTTP ([1-5]\d\d)\b")


class Level(NamedTuple):
    """One level of a path; "" is what was not seen."""

    service: str
    user: str

    def __str__(self) -> str:
        return f"{self.service or UNKNOWN}:{self.user or UNKNOWN}"


NOBODY = Level("", "")
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Reading:
    tree: Mapping[str, Any]  # the record, all of it fit for UTF-8
    kind: str
    id: str
    start_ns: int
    end_ns: int  # not before the start
    path: str  # cut so that a keyword field indexes it
    levels: tuple[Level, ...]
    asker: str  # who did it; "" when that is unknown or not decided
    account: str  # under which it was done at the end of the path; may be the asker's own
    attribution: str  # explicit | correlated | ambiguous | none
    confidence: float
    candidates: tuple[Mapping[str, Any], ...]
    users: tuple[str, ...]

    def part(self, name: str) -> Mapping[str, Any]:
        """A block of the record; empty if it has none."""
        return self.tree.get(name) or _NOTHING

    def text(self, name: str) -> str:
        return str(self.tree.get(name, ""))

    @property
    def version(self) -> str:
        """Of the sensor. Headers need one: parsers are known that refuse an empty field."""
        return str(self.part("sensor").get("version") or "0")

    @property
    def is_delegated(self) -> bool:
        return len(self.levels) > 1

    @property
    def head(self) -> Level:
        return self.levels[0] if self.levels else NOBODY

    @property
    def tail(self) -> Level:
        return self.levels[-1] if self.levels else NOBODY

    @property
    def middle(self) -> tuple[Level, ...]:
        return self.levels[1:-1]

    @property
    def delegate(self) -> str:
        """The account that stood in for the asker; "" if he acted himself."""
        return self.account if self.is_delegated else ""

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    @property
    def operation(self) -> str:
        return str(self.part("op").get("name", ""))

    @property
    def operation_class(self) -> str:
        return str(self.part("op").get("class", ""))

    @property
    def event_class(self) -> str:
        """What kinds of events there are: login, action.delete, chain.power, alert.scanner, ..."""
        special = self.text("reason") if self.kind == "alert" else self.operation_class
        return f"{self.kind}.{special}" if special and special != self.kind else self.kind

    @property
    def trouble(self) -> str:
        """Why it failed, or why there is this record."""
        return self.text("fault") or self.text("reason")

    @property
    def severity(self) -> int:
        if self.kind == "alert":
            return SEVERE
        is_bad = self.text("outcome") == "failure" or self.kind == "gap"
        return WARNING if is_bad or self.attribution == "ambiguous" else NORMAL

    @property
    def request(self) -> tuple[str, str]:
        """Method and path of an operation that is named by them."""
        found = _REQUEST.fullmatch(self.operation)
        return (found[1], found[2]) if found else ("", "")

    @property
    def status(self) -> int:
        """Of the HTTP response, where that was the fault; else 0."""
        found = _STATUS.match(self.text("fault"))
        return int(found[1]) if found else 0

    @property
    def turned(self) -> str:
        """ "on" or "off", what a power operation turned a machine; "" for a reset, or no such."""
        name = self.operation.lower().replace("_", "") if self.operation_class == "power" else ""
        if any(word in name for word in _RESETS):
            return ""
        if any(word in name for word in _STOPS):
            return "off"
        return "on" if any(word in name for word in _STARTS) else ""

    @property
    def sessions(self) -> list[str]:
        """Keyed hashes of the tokens that were used, this server's first."""
        names = (str(self.part(side).get("session", "")) for side in ("to", "from"))
        return unique(name for name in names if name.startswith("b2s:"))

    @property
    def addresses(self) -> list[str]:
        """All that are addresses; a pseudonym of one is none."""
        forwarded = str(self.part("client").get("forwarded_for", ""))
        return unique(
            address
            for address in (
                *(str(self.part(side).get("ip", "")) for side in ("from", "to")),
                *(each.strip().strip('"[]') for each in forwarded.split(",")),
            )
            if ip_version(address)
        )

    @property
    def suspects(self) -> str:
        """The candidates in one line."""
        return ", ".join(
            f"{each.get('user') or UNKNOWN} {float(each.get('confidence', 0)):.2f}"
            for each in self.candidates
        )

    @property
    def sentence(self) -> str:
        """The record for people."""
        target = self.part("target")
        named = " ".join(str(target[key]) for key in ("type", "name", "id") if target.get(key))
        words = [self.text("reason")] if self.kind == "alert" else []
        if words and self.part("extra").get("value"):
            words.append(f"({self.part('extra')['value']})")
        words += [self.operation or self.kind, f"on {named}" if named else "", f"by {self.path}"]
        words += [self.text("outcome"), self.text("fault")]
        if self.candidates:
            words.append(f"one of {self.suspects}")
        return " ".join(each for each in words if each and each != "by ")


def read(record: Tree) -> Reading:
    tree = encodable_tree(dict(record))
    chain, hop = tree.get("chain") or {}, tree.get("hop") or {}
    levels = levels_of(str(chain.get("path", "")))
    attribution = str(hop.get("cause") or "none")
    candidates = tuple(hop.get("candidates") or ())
    start_ns = int(tree["ts"])
    is_decided = attribution != "ambiguous" and bool(levels)
    return Reading(
        tree=tree,
        kind=str(tree.get("kind", "")),
        id=str(tree.get("id", "")),
        start_ns=start_ns,
        end_ns=max(start_ns, int(tree.get("ts_end", 0))),
        path=cut_path(str(chain.get("path", ""))),
        levels=levels,
        asker=levels[0].user if is_decided else "",
        account=levels[-1].user if levels else "",
        attribution=attribution,
        confidence=float(hop.get("confidence", 0.0)),
        candidates=candidates,
        users=tuple(unique(_names(tree, levels, candidates))),
    )


@lru_cache(maxsize=4096)
def levels_of(path: str) -> tuple[Level, ...]:
    r"""SERVICE:UID:SERVICE:UID, where a backslash escapes a colon or a backslash."""
    if not path:
        return ()
    elements = [_ESCAPED.sub(r"\1", found[1]) for found in _ELEMENT.finditer(path)]
    known = ["" if each == UNKNOWN else each for each in elements]
    return tuple(Level(known[at], known[at + 1]) for at in range(0, len(known) - 1, 2))


def _names(
    tree: Mapping[str, Any], levels: Iterable[Level], candidates: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Every account that the record names, wherever it does."""
    yield from (level.user for level in levels)
    yield from (tree.get("chain") or {}).get("users", ())
    for side in ("from", "to", "hop"):
        yield (tree.get(side) or {}).get("user", "")
    yield tree.get("guest_user", "")
    for each in candidates:
        yield each.get("user", "")
        yield from (level.user for level in levels_of(each.get("path", "")))
    target = tree.get("target") or {}
    if target.get("type") in _PERSONAL_TARGETS:
        yield target.get("name", "")
    extra = tree.get("extra") or {}
    yield from (extra.get(name, "") for name in _PERSONAL_EXTRAS)
    for each in (tree.get("hop") or {}).get("evidence", ()):
        if each.get("key") in _PERSONAL_EVIDENCE:
            yield each.get("value", "")


def unique(texts: Iterable[str]) -> list[str]:
    """Without repetition and the empty one, in order."""
    return [text for text in dict.fromkeys(texts) if text]


@lru_cache(maxsize=4096)
def ip_version(text: str) -> int:
    """4 or 6; 0 for what is no address, or one with a zone, which no field for addresses takes."""
    try:
        return 0 if "%" in text else ip_address(text).version
    except ValueError:
        return 0


@lru_cache(maxsize=4096)
def is_private(text: str) -> bool:
    return bool(ip_version(text)) and ip_address(text).is_private


def is_pseudonym(user: str) -> bool:
    return bool(_PSEUDONYM.fullmatch(user))


def domain_of(user: str) -> str:
    r"""DOMAIN\user, or user@domain."""
    if "\\" in user:
        return user.split("\\", 1)[0]
    return user.rsplit("@", 1)[1] if "@" in user else ""
