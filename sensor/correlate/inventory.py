"""Which object of one service is which object of another: learned, bounded, weighted by how.

An object is keyed by (host, id), because the same moref exists on many hosts and is used again
after a destroy. Weights are 0..1: 1 for what a service said (a UUID), less for what was concluded
from a correlated hop.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from decoders.message import ObjectSeen, Target

Key = tuple[str, str]  # (host, id without its path)

# A name alone may be used twice in one inventory.
NAME_WEIGHT = 0.95
NAMESAKES_MAX = 8  # a name that more objects share says nothing
LINKS_MAX = 16  # per object; a VM has one peer per level and one vApp

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Cloud Director names a VM "name (uuid)" in vCenter; the UUID ends its own href too.
_UUID_AT_END = re.compile(rf"[-(]({_UUID})\)?$")


@lru_cache(maxsize=16384)  # the same few thousand objects, five times with each call
def object_id(identity: str) -> str:
    """The id without path or URN: urn:vcloud:vm:X and https://h/api/vApp/vm-X are both vm-X."""
    identity = identity[identity.rfind("/") + 1 :]
    if identity.startswith("urn:vcloud:"):
        identity = identity[11:].replace(":", "-", 1)
    return identity


class Known(NamedTuple):
    """An object as it is kept over a restart; peers and holders with their weights."""

    host: str
    id: str
    type: str
    name: str
    instance_uuid: str
    uuid: str
    peers: list[tuple[str, str, float]]
    holders: list[tuple[str, str, float]]


@dataclass(slots=True)
class Entry:
    type: str = ""
    name: str = ""
    instance_uuid: str = ""
    uuid: str = ""
    uuids: set[str] = field(default_factory=set)  # both, and one that name or id end with
    peers: dict[Key, float] = field(default_factory=dict)  # the same object at other hosts
    holders: dict[Key, float] = field(default_factory=dict)  # what contains it, at any host
    gone_ns: int = 0  # when it was destroyed; its id may name another object from then on


class Inventory:
    def __init__(self, objects_max: int = 100_000) -> None:
        self._objects_max = objects_max
        self._entries: OrderedDict[Key, Entry] = OrderedDict()  # oldest use first
        self._by_name: dict[str, dict[Key, None]] = {}
        self._by_uuid: dict[str, dict[Key, None]] = {}
        self._changed: dict[Key, None] = {}  # since they were last taken
        self.shed = 0
        self.links_shed = 0

    def __len__(self) -> int:
        return len(self._entries)

    def seen(self, host: str, message: ObjectSeen) -> None:
        """The service at `host` said what the object is called."""
        target = message.target
        if not target.id:
            return
        key = (host, object_id(target.id))
        entry = self._entries.get(key)
        if entry is not None and (entry.gone_ns or _is_another(entry, message)):
            self._forget(key)
        entry = self._entry(key)
        entry.type = target.type or entry.type
        entry.instance_uuid = message.instance_uuid or entry.instance_uuid
        entry.uuid = message.uuid or entry.uuid
        self._add_uuids(key, entry, {message.instance_uuid, message.uuid} - {""})
        self._name(key, entry, target.name)
        if message.container.id:
            self._put(entry.holders, (host, object_id(message.container.id)), 1.0)

    def named(self, host: str, target: Target) -> None:
        """A call or task at `host` named the object."""
        if target.id and target.name and target.name != target.id:
            key = (host, object_id(target.id))
            entry = self._entry(key)
            entry.type = target.type or entry.type
            self._name(key, entry, target.name)

    def made(self, host: str, target: Target, name: str) -> None:
        """A call made the object: whatever had this id before is another one."""
        key = (host, object_id(target.id))
        entry = self._entries.get(key)
        if entry is not None and (entry.gone_ns or (name and entry.name != name)):
            self._forget(key)
        entry = self._entry(key)
        entry.type = target.type or entry.type
        self._name(key, entry, target.name or name)

    def gone(self, host: str, identity: str, time_ns: int) -> None:
        entry = self._entries.get((host, object_id(identity)))
        if entry is not None and not entry.gone_ns:
            entry.gone_ns = time_ns
            self._changed[host, object_id(identity)] = None

    def link(self, one: Key, other: Key, weight: float) -> None:
        """A correlated hop showed that both are the same object."""
        if one == other or self.different(one, other):
            return
        for key, peer in ((one, other), (other, one)):
            peers = self._entry(key).peers
            self._put(peers, peer, max(weight, peers.get(peer, 0.0)))

    def contain(self, holder: Key, held: Key, weight: float) -> None:
        """A correlated hop showed that `holder` has `held` in it."""
        holders = self._entry(held).holders
        self._put(holders, holder, max(weight, holders.get(holder, 0.0)))

    def name_of(self, host: str, identity: str) -> str:
        entry = self._entries.get((host, object_id(identity)))
        return entry.name if entry is not None else ""

    def name_of_uuid(self, uuid: str) -> str:
        """What an object is called that has this UUID, at whichever host."""
        for key in self._by_uuid.get(uuid, ()):
            if name := self._entries[key].name:
                return name
        return ""

    def peers(self, key: Key, host: str) -> dict[str, float]:
        """Ids at `host` of the object that `key` is, with their weights."""
        entry = self._entries.get(key)
        if entry is None:
            return {}
        found = {peer[1]: weight for peer, weight in entry.peers.items() if peer[0] == host}
        for uuid in entry.uuids:
            for peer in self._by_uuid.get(uuid, ()):
                if peer[0] == host:
                    found[peer[1]] = 1.0
        if not found:
            found = self.namesakes(entry.name, host)
        if key[0] == host:
            found[key[1]] = 1.0
        return found

    def namesakes(self, name: str, host: str) -> dict[str, float]:
        """Ids of the objects at `host` that have this name."""
        named = self._by_name.get(name, {}) if name else {}
        if len(named) > NAMESAKES_MAX * 2:
            return {}
        there = [key[1] for key in named if key[0] == host]
        return {each: NAME_WEIGHT / len(there) for each in there}

    def holders(self, key: Key, host: str) -> dict[str, float]:
        """Ids at `host` of what contains the object, directly or through its peer there."""
        entry = self._entries.get(key)
        if entry is None:
            return {}
        found = {held[1]: weight for held, weight in entry.holders.items() if held[0] == host}
        for peer, weight in self.peers(key, host).items():
            of_peer = self._entries.get((host, peer))
            for holder, weight_there in of_peer.holders.items() if of_peer is not None else ():
                if holder[0] == host:
                    found[holder[1]] = max(weight * weight_there, found.get(holder[1], 0.0))
        return found

    def has_other_peer(self, one: Key, other: Key) -> bool:
        """Is `one` nearly surely some other object at the host of `other`?"""
        entry = self._entries.get(one)
        if entry is None or not entry.peers or entry.peers.get(other, 0.0) >= NAME_WEIGHT:
            return False
        return any(
            peer[0] == other[0] and weight >= NAME_WEIGHT for peer, weight in entry.peers.items()
        )

    def different(self, one: Key, other: Key) -> bool:
        """Are these known to be two objects of the same type?"""
        left, right = self._entries.get(one), self._entries.get(other)
        if left is None or right is None or left.type != right.type:
            return False
        if one[0] == other[0]:
            return one != other
        if left.uuids & right.uuids or left.peers.get(other):
            return False
        return any(
            mine and theirs and mine != theirs
            for mine, theirs in (
                (left.instance_uuid, right.instance_uuid),
                (left.uuid, right.uuid),
                (left.name, right.name),
            )
        )

    def take_changes(self) -> tuple[list[Known], list[Key]]:
        """Objects of which something is new since the last time, and those that are no more."""
        changed, self._changed = self._changed, {}
        known = [(key, entry) for key in changed if (entry := self._entries.get(key))]
        here = [_known(key, entry) for key, entry in known if not entry.gone_ns]
        return here, [key for key, entry in known if entry.gone_ns]

    def recall(self, objects: Iterable[Known]) -> None:
        """What an earlier run knew, the latest first; what traffic says since counts more."""
        for each in list(objects)[: self._objects_max][::-1]:
            key = (each.host, each.id)
            if key in self._entries:
                continue
            entry = self._entry(key)
            entry.type, entry.uuid = each.type, each.uuid
            entry.instance_uuid = each.instance_uuid
            self._add_uuids(key, entry, {each.instance_uuid, each.uuid} - {""})
            self._name(key, entry, each.name)
            entry.peers = {(host, peer): weight for host, peer, weight in each.peers}
            entry.holders = {(host, holder): weight for host, holder, weight in each.holders}
        self._changed.clear()

    def _entry(self, key: Key) -> Entry:
        self._changed[key] = None
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        entry = self._entries[key] = Entry()
        self._add_uuids(key, entry, _uuids_in(key[1]))
        if len(self._entries) > self._objects_max:
            self._forget(next(iter(self._entries)))
            self.shed += 1
        return entry

    def _name(self, key: Key, entry: Entry, name: str) -> None:
        if not name or name == entry.name:
            return
        self._drop(self._by_name, entry.name, key)
        entry.name = name
        self._by_name.setdefault(name, {})[key] = None
        self._add_uuids(key, entry, _uuids_in(name))

    def _add_uuids(self, key: Key, entry: Entry, uuids: set[str]) -> None:
        for uuid in uuids - entry.uuids:
            entry.uuids.add(uuid)
            self._by_uuid.setdefault(uuid, {})[key] = None

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key)
        self._changed.pop(key, None)
        self._drop(self._by_name, entry.name, key)
        for uuid in entry.uuids:
            self._drop(self._by_uuid, uuid, key)
        for peer in entry.peers:
            of_peer = self._entries.get(peer)
            if of_peer is not None:
                of_peer.peers.pop(key, None)

    @staticmethod
    def _drop(index: dict[str, dict[Key, None]], value: str, key: Key) -> None:
        keys = index.get(value)
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del index[value]

    def _put(self, links: dict[Key, float], key: Key, weight: float) -> None:
        """Of too many links the oldest leaves."""
        if key not in links and len(links) >= LINKS_MAX:
            del links[next(iter(links))]
            self.links_shed += 1
        links[key] = weight


def _is_another(entry: Entry, message: ObjectSeen) -> bool:
    """A moref that was used again while nobody was looking."""
    known, said = entry.instance_uuid, message.instance_uuid
    return bool(known and said and known != said)


def _known(key: Key, entry: Entry) -> Known:
    return Known(
        *key,
        entry.type,
        entry.name,
        entry.instance_uuid,
        entry.uuid,
        [(*peer, weight) for peer, weight in entry.peers.items()],
        [(*holder, weight) for holder, weight in entry.holders.items()],
    )


def _uuids_in(text: str) -> set[str]:
    found = _UUID_AT_END.search(text)
    return {found[1]} if found else set()
