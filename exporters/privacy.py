"""Records without what a receiver is not to know: pseudonyms for user names and addresses.

A pseudonym is a keyed hash: the same name has the same one in every record, and nobody without the
key comes back to the name. User names stand in fields of their own, and inside texts; in texts,
names of this record and of those before it are found as whole words. Where a field may hold a
user's name or something else, it is taken for a name. An address becomes one of 2001:db8::/32
(RFC 3849), so that it still is an address and never anybody's.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from exporters.transport import Tree
from sensor.records import escape_uid

Hash = Callable[[str], str]  # keyed, "b2s:" and hex digits

NAMES_MAX = 16_384  # remembered, the last ones
WORD_CHARS_MIN = 3  # a shorter part of a name says nothing in a text
HASH_DIGITS = 20
USER_EXTRAS = ("initiated_by", "act_as", "delegate_to", "saml_subject", "application_credential")
USER_EVIDENCE = (
    *("claimed_user", "delegate", "impersonation", "guest_account", "proxy_account"),
    "client_certificate",
)
USER_TARGETS = ("User", "GuestUser", "Principal", "Group", "Session")
# Words of the schema, hashes and numbers: no text of anybody's.
_FIXED = {
    *("schema", "kind", "ts", "ts_end", "id", "visibility", "amends", "outcome", "flow", "sensor"),
    *("reason", "gap_bytes"),
}
_FIXED_PARTS = {
    "chain": {"id", "path", "users", "services", "depth"},
    "hop": {"index", "count", "service", "cause", "confidence", "parent_id"},
    "from": {"port", "service", "session"},
    "to": {"port", "service", "session"},
    "op": {"name", "api", "class", "method"},
    "target": {"type"},
    "tls": {"version", "cipher", "alpn", "ja3", "ja3s", "ja4", "ja4s", "fingerprint", "key_source"}
    | {"client_fingerprint", "reason", "resumed", "early_data"},
}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)  # in a path
_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[\w.@\\$+-]+")
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)")
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?![\w:])")
_COMMUNITY_ID = re.compile(r"\b1:[A-Za-z0-9+/]{27}=")


class Pseudonyms:
    """Used by one thread."""

    def __init__(self, hash_of: Hash, kinds: Iterable[str]) -> None:
        self._hash_of = hash_of
        self._users = "user" in kinds
        self._addresses = "ip" in kinds
        self._seen: dict[str, str] = {}  # a name, casefolded -> its pseudonym

    def apply(self, record: Tree) -> dict[str, Any]:
        """A new tree; nothing of the old one is changed."""
        tree = dict(record)
        if self._users:
            self._learn(record)
            tree = self._without_users(tree)
        if self._addresses:
            tree = self._without_addresses(tree)
        return tree

    def aliases(self, record: Tree) -> set[str]:
        """Pseudonyms that stand in the record instead of something."""
        return set(_pseudonyms_in(self.apply(record)))

    def user(self, name: str) -> str:
        if not name or name == "?":
            return name
        folded = name.casefold()
        pseudonym = self._seen.get(folded)
        if pseudonym is None:
            pseudonym = "u-" + self._hash_of(f"user {folded}").removeprefix("b2s:")[:HASH_DIGITS]
            self._remember(folded, pseudonym)
        return pseudonym

    def address(self, text: str) -> str:
        """Text that is no address stays."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        digits = self._hash_of(f"address {address}").removeprefix("b2s:")[:24]
        return str(ipaddress.IPv6Address(int(f"20010db8{digits}", 16)))

    def _remember(self, folded: str, pseudonym: str) -> None:
        self._seen[folded] = pseudonym
        if len(self._seen) > NAMES_MAX:
            del self._seen[next(iter(self._seen))]

    def _learn(self, record: Tree) -> None:
        """Names of this record, and what is left of one without its domain."""
        for name in _names_of(record):
            self.user(name)
            bare = name.rpartition("\\")[2].partition("@")[0]
            if bare != name:
                self.user(bare)

    def _without_users(self, tree: dict[str, Any]) -> dict[str, Any]:
        for key, writer in (
            ("chain", self._chain),
            ("hop", self._hop),
            ("target", self._target),
            ("extra", self._extra),
            ("tls", self._tls),
        ):
            if key in tree:
                tree[key] = writer(tree[key])
        for key in ("from", "to"):
            if key in tree and "user" in tree[key]:
                tree[key] = {**tree[key], "user": self.user(tree[key]["user"])}
        if "guest_user" in tree:
            tree["guest_user"] = self.user(tree["guest_user"])
        return _texts_changed(tree, self._text)

    def _chain(self, chain: Mapping[str, Any]) -> dict[str, Any]:
        return _users_changed(chain, self.user)

    def _hop(self, hop: Mapping[str, Any]) -> dict[str, Any]:
        changed = dict(hop)
        if "user" in changed:
            changed["user"] = self.user(changed["user"])
        if "candidates" in changed:
            changed["candidates"] = [
                _users_changed({**each, "user": self.user(each.get("user", ""))}, self.user)
                for each in changed["candidates"]
            ]
        if "evidence" in changed:
            changed["evidence"] = [
                {**each, "value": self.user(each.get("value", ""))}
                if each.get("key") in USER_EVIDENCE
                else each
                for each in changed["evidence"]
            ]
        return changed

    def _target(self, target: Mapping[str, Any]) -> dict[str, Any]:
        if target.get("type") not in USER_TARGETS:
            return dict(target)
        keys = ("name",) if target["type"] == "Session" else ("name", "id")
        return {key: self.user(item) if key in keys else item for key, item in target.items()}

    def _extra(self, extra: Mapping[str, str]) -> dict[str, str]:
        changed = dict(extra)
        for key in USER_EXTRAS:
            if key in changed:
                changed[key] = self.user(changed[key])
        if "related" in changed:  # names of all kinds, without saying of which
            parts = changed["related"].split(", ")
            changed["related"] = ", ".join(map(self._related, parts))
        return changed

    def _related(self, name: str) -> str:
        return name if name.startswith(("/", "[")) or name.isdecimal() else self.user(name)

    def _tls(self, tls: Mapping[str, Any]) -> dict[str, Any]:
        """A client's certificate names who holds it."""
        return {
            key: self.user(item) if key == "client_subject" else item for key, item in tls.items()
        }

    def _text(self, text: str) -> str:
        """With every known name in it replaced."""
        whole = self._seen.get(text.casefold())
        return whole if whole is not None else _TOKEN.sub(self._token, text)

    def _token(self, found: re.Match[str]) -> str:
        token = found[0]
        whole = self._seen.get(token.casefold())
        if whole is not None and len(token) >= WORD_CHARS_MIN:
            return whole
        return token if _is_pseudonym(token) else _WORD.sub(self._word, token)

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        known = self._seen.get(word.casefold()) if len(word) >= WORD_CHARS_MIN else None
        return word if known is None else known

    def _without_addresses(self, tree: dict[str, Any]) -> dict[str, Any]:
        if "flow" in tree:  # the Community ID is a hash of addresses, which are few enough to try
            tree["flow"] = {
                key: item for key, item in tree["flow"].items() if key != "community_id"
            }
        agent = tree.get("client", {}).get("user_agent")
        hide = self._text_without_addresses
        tree = _texts_changed(tree, hide)
        if "chain" in tree:
            tree["chain"] = _users_changed(tree["chain"], hide)
        if candidates := tree.get("hop", {}).get("candidates"):
            ways = [_users_changed(each, hide) for each in candidates]
            tree["hop"] = {**tree["hop"], "candidates": ways}
        if agent is not None:  # versions there look like addresses
            tree["client"] = {**tree["client"], "user_agent": agent}
        return tree

    def _text_without_addresses(self, text: str) -> str:
        text = _COMMUNITY_ID.sub("-", text)
        text = _V4.sub(lambda found: self.address(found[0]), text)
        return _V6.sub(self._v6, text) if ":" in text else text

    def _v6(self, found: re.Match[str]) -> str:
        text = found[0]
        return text if text.startswith("2001:db8:") else self.address(text)


class Dropper:
    """Leaves fields out, by their dotted paths."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = [path.split(".", 1) for path in paths]

    def apply(self, record: Tree) -> dict[str, Any]:
        tree = dict(record)
        for path in self._paths:
            if len(path) == 1:
                tree.pop(path[0], None)
            elif isinstance(tree.get(path[0]), dict):
                kept = {key: item for key, item in tree[path[0]].items() if key != path[1]}
                tree[path[0]] = kept
                if not kept:
                    del tree[path[0]]
        return tree


def _users_changed(way: Tree, change: Callable[[str], str]) -> dict[str, Any]:
    """A chain, or a candidate for one, with other users in its path and its list."""
    changed = dict(way)
    if "path" in changed:
        changed["path"] = _path_changed(changed["path"], change)
    if "users" in changed:
        changed["users"] = [change(name) for name in changed["users"]]
    return changed


def _path_changed(path: str, change: Callable[[str], str]) -> str:
    parts = [_ESCAPED.sub(r"\1", part) for part in split_path(path)]
    return ":".join(escape_uid(change(part)) if at % 2 else part for at, part in enumerate(parts))


def split_path(path: str) -> list[str]:
    """The parts between colons that no backslash escapes, still escaped."""
    return re.findall(r"(?:^|:)((?:[^:\\]|\\.)*)", path)


def _names_of(record: Tree) -> Iterable[str]:
    """User names in fields of their own."""
    hop, chain = record.get("hop", {}), record.get("chain", {})
    yield from chain.get("users", ())
    yield hop.get("user", "")
    for candidate in hop.get("candidates", ()):
        yield candidate.get("user", "")
    for evidence in hop.get("evidence", ()):
        if evidence.get("key") in USER_EVIDENCE:
            yield evidence.get("value", "")
    for end in ("from", "to"):
        yield record.get(end, {}).get("user", "")
    yield record.get("guest_user", "")
    extra = record.get("extra", {})
    yield from (extra[key] for key in USER_EXTRAS if key in extra)
    if record.get("target", {}).get("type") in USER_TARGETS:
        yield record["target"].get("name", "")


def _texts_changed(tree: Tree, change: Callable[[str], str]) -> dict[str, Any]:
    """With every text changed that is somebody's and no word of the schema."""
    return {
        key: item if key in _FIXED else _changed(item, change, _FIXED_PARTS.get(key, frozenset()))
        for key, item in tree.items()
    }


def _changed(item: Any, change: Callable[[str], str], fixed: Iterable[str] = ()) -> Any:
    if isinstance(item, str):
        return change(item)
    if isinstance(item, Mapping):
        kept = (*fixed, "key", "grade") if "grade" in item or "key" in item else fixed
        if "path" in item and "confidence" in item:  # a candidate: its colons are no text's
            kept = (*fixed, "path")
        return {key: each if key in kept else _changed(each, change) for key, each in item.items()}
    if isinstance(item, list | tuple):
        return [_changed(each, change) for each in item]
    return item


def _is_pseudonym(token: str) -> bool:
    return re.fullmatch(rf"u-[0-9a-f]{{{HASH_DIGITS}}}", token) is not None


def _pseudonyms_in(item: Any) -> Iterable[str]:
    if isinstance(item, str):
        yield from re.findall(rf"\bu-[0-9a-f]{{{HASH_DIGITS}}}\b|\b2001:db8:[0-9a-f:]+", item)
    elif isinstance(item, Mapping):
        for each in item.values():
            yield from _pseudonyms_in(each)
    elif isinstance(item, list | tuple):
        for each in item:
            yield from _pseudonyms_in(each)
