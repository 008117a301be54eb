"""What a child acts on against what a possible parent acts on."""

from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from decoders.message import Target
from sensor.correlate.actions import Action, Actions
from sensor.correlate.inventory import Inventory, Key, object_id
from sensor.correlate.verbs import Verb

VM_TYPES = frozenset({"VirtualMachine", "Vm"})
HOLDER_TYPES = frozenset({"VirtualApp", "VApp"})
WORKLOAD_TYPES = VM_TYPES | HOLDER_TYPES


class Rank(IntEnum):
    """Candidates of a higher rank leave no room for those of a lower one."""

    CONTRARY = 0  # known to be another object
    UNKNOWN = 1
    LIKE_NAME = 2  # the new object's name begins with the parent's
    DEFINITE = 3  # the same object, or one inside it


class Relation(NamedTuple):
    rank: Rank
    weight: float
    key: str = ""  # of the evidence
    value: str = ""
    grade: str = ""

    @property
    def is_definite(self) -> bool:
        return self.rank is Rank.DEFINITE

    @property
    def is_contrary(self) -> bool:
        return self.rank is Rank.CONTRARY


SAME_OBJECT = ("target", "name")  # keys of evidence that both act on one object, none holds it
UNKNOWN = Relation(Rank.UNKNOWN, 0.1)
CONTRARY = Relation(Rank.CONTRARY, 0.05)
NAME_WEIGHT = 0.95
LIKE_NAME_WEIGHT = 0.5


class View:
    """A child as the inventory knows it at one host, where its parent would be; looked up once."""

    def __init__(self, child: Action, host: str, inventory: Inventory) -> None:
        self._child = child
        self._host = host
        self._inventory = inventory
        self._keys: list[Key] = [(child.server, each) for each in child.objects]
        self._same: dict[str, float] | None = None
        self._holders: dict[str, float] | None = None
        self._names: set[str] | None = None

    @property
    def same(self) -> dict[str, float]:
        """Ids there of what the child acts on."""
        if self._same is None:
            self._same = found = {}
            for key in self._keys:
                found.update(self._inventory.peers(key, self._host))
            for name in self._child.names:
                for identity, weight in self._inventory.namesakes(name, self._host).items():
                    found.setdefault(identity, weight)
        return self._same

    @property
    def holders(self) -> dict[str, float]:
        """Ids there of what contains what the child acts on."""
        if self._holders is None:
            self._holders = found = {}
            for key in self._keys:
                found.update(self._inventory.holders(key, self._host))
        return self._holders

    @property
    def names(self) -> set[str]:
        if self._names is None:
            known = (self._inventory.name_of(*key) for key in self._keys)
            self._names = {name for name in (*self._child.names, *known) if name}
        return self._names

    def relation(self, parent: Action) -> Relation:
        """How what the child acts on relates to what the parent acts on."""
        return UNKNOWN if self._is_namesake(parent) else self._relation(parent)

    def _relation(self, parent: Action) -> Relation:
        same = self.same
        for identity in parent.objects:
            if identity in same:
                return Relation(Rank.DEFINITE, same[identity], "target", identity, "inferred")
        if parent.names:
            named = self.names.intersection(parent.names)
            if named:
                return Relation(Rank.DEFINITE, NAME_WEIGHT, "name", min(named), "inferred")
        holders = self.holders
        for identity in parent.objects:
            if identity in holders:
                weight = holders[identity]
                return Relation(Rank.DEFINITE, weight, "container", identity, "inferred")
        if self._is_contrary(parent):
            return CONTRARY
        for name in parent.names:
            if any(_is_like(own, name) for own in self._child.names):
                return Relation(Rank.LIKE_NAME, LIKE_NAME_WEIGHT, "like_name", name, "inferred")
        return UNKNOWN

    def parents(self, actions: Actions) -> Iterator[Action]:
        """Actions there on the same object, on what holds it, or that gave a name like its own."""
        for identity in (*self.same, *self.holders):
            yield from actions.on_object(self._host, identity)
        for name in self.names:
            yield from actions.naming(self._host, name)
        for name in self._child.names:
            for start in _starts(name):
                yield from actions.naming(self._host, start)

    def _is_namesake(self, parent: Action) -> bool:
        """Do both act on a VM, each known to be another one at the other's host?"""
        if self._child.target.type not in VM_TYPES or parent.target.type not in VM_TYPES:
            return False
        key = (self._child.server, object_id(self._child.target.id))
        other = (parent.server, object_id(parent.target.id))
        known = self._inventory.has_other_peer
        return known(key, other) and known(other, key)

    def _is_contrary(self, parent: Action) -> bool:
        """Both name a VM, and no VM of one can be a VM of the other."""
        child = self._child
        if child.verb is Verb.CREATE and parent.verb is Verb.CREATE:
            own, other = vm_names(child), vm_names(parent)
            return bool(own and other and not set(own) & set(other))
        if child.target.type not in VM_TYPES or parent.verb is Verb.CREATE:
            return False
        theirs = [each for each in (parent.target, *parent.call.related) if each.type in VM_TYPES]
        key = (child.server, object_id(child.target.id))
        return bool(theirs) and all(
            self._inventory.different(key, (parent.server, object_id(each.id))) for each in theirs
        )


def objects_of(target: Target, related: tuple[Target, ...]) -> tuple[str, ...]:
    """Ids of what a call acts on: its VMs and vApps, or its target when it names none."""
    found = [each.id for each in (target, *related) if each.id and each.type in WORKLOAD_TYPES]
    if len(found) > 1:
        return tuple(dict.fromkeys(map(object_id, found)))
    identity = found[0] if found else target.id
    return _alone(object_id(identity)) if identity else ()


def names_of(target: Target, related: tuple[Target, ...]) -> tuple[str, ...]:
    """Names that a call gives: of new VMs and vApps, or of existing ones beside their id."""
    named = [each.name for each in (target, *related) if each.name and each.type in WORKLOAD_TYPES]
    if len(named) > 1:
        return tuple(dict.fromkeys(named))
    return _alone(named[0]) if named else ()


@lru_cache(maxsize=16384)  # kept once for all actions on an object
def _alone(text: str) -> tuple[str, ...]:
    return (text,)


def vm_names(action: Action) -> list[str]:
    return [each.name for each in action.call.related if each.name and each.type in VM_TYPES]


def _starts(name: str) -> Iterator[str]:
    """Beginnings of a name that end at a word, longest first."""
    for at in range(len(name) - 1, 0, -1):
        if not name[at].isalnum() and name[at - 1].isalnum():
            yield name[:at]


def _is_like(name: str, start: str) -> bool:
    """Does the name begin with the other one, ending at a word: web-1 (uuid) with web?"""
    return name.startswith(start) and not name[len(start) : len(start) + 1].isalnum()
