"""Managed object references of vim25, and the properties of managed objects in every form a read
returns them."""

import re
from collections.abc import Iterator

from decoders.element import Element
from decoders.message import Target
from decoders.soap import SoapTransaction

MOREF = "ManagedObjectReference"
# Ids of a vCenter say their type, those of a host only in part; for clients that leave `type` out.
_TYPE_BY_PREFIX = {
    "vm": "VirtualMachine",
    "host": "HostSystem",
    "resgroup-v": "VirtualApp",
    "resgroup": "ResourcePool",
    "group-p": "StoragePod",
    "group": "Folder",
    "ha-folder": "Folder",
    "domain-c": "ClusterComputeResource",
    "domain-s": "ComputeResource",
    "datacenter": "Datacenter",
    "datastore": "Datastore",
    "dvportgroup": "DistributedVirtualPortgroup",
    "dvs": "VmwareDistributedVirtualSwitch",
    "network": "Network",
    "snapshot": "VirtualMachineSnapshot",
    "task": "Task",
    "haTask": "Task",
    "alarm": "Alarm",
    "schedule": "ScheduledTask",
}
_PREFIX = re.compile(r"(resgroup-v|group-p|domain-[cs]|ha-folder|[A-Za-z]+)-?[A-Za-z]*\d*")
_SESSION = re.compile(r"session\[([^\]]+)\]")

Properties = dict[str, Element]
Objects = list[tuple[Target, Properties]]  # what a read returned


def type_of_id(identifier: str) -> str:
    found = _PREFIX.match(identifier)
    return _TYPE_BY_PREFIX.get(found[1], "") if found else ""


def moref(element: Element) -> Target:
    """The object that this element names; empty when it names none."""
    identifier = without_session(element.text.strip())
    if not identifier or element.children:
        return Target()
    stated = element.attributes.get("type", "")
    if not stated and element.xsi_type != MOREF:
        stated = element.xsi_type
    return Target(stated.rpartition(":")[2] or type_of_id(identifier), identifier)


def is_moref(element: Element) -> bool:
    """Is this surely a reference: by its `type` attribute, or by xsi:type?"""
    if element.children or not element.text.strip():
        return False
    return "type" in element.attributes or element.xsi_type == MOREF


def session_key(identifier: str) -> str:
    """KEY of an object that belongs to a session: `session[KEY]...`; else ""."""
    found = _SESSION.match(identifier)
    return found[1] if found else ""


def without_session(identifier: str) -> str:
    """Without the key of the session that the object belongs to: it may be the session's cookie."""
    return _SESSION.sub("session[]", identifier, count=1)


def objects_of(read: SoapTransaction) -> Objects:
    """Of Fetch, Retrieve*, WaitForUpdates*, CheckForUpdates: objects, their properties by path."""
    return list(_objects(read))


def _objects(read: SoapTransaction) -> Iterator[tuple[Target, Properties]]:
    if read.operation == "Fetch":
        names, values = read.arguments.values("prop"), list(read.result.all("returnval"))
        if names and values:
            yield this_of(read), dict(zip(names, values, strict=False))
        return
    for element in read.result.walk():
        found = {
            entry.value("name"): entry.at("val")
            for entry in element.children
            if entry.name in ("propSet", "changeSet")
        }
        if found:
            yield moref(element.at("obj")), found


def this_of(call: SoapTransaction) -> Target:
    """`_this`; what the core scanned when the body is not at hand."""
    stated = call.arguments.at("_this")
    if stated.text.strip():
        return moref(stated)
    identifier = without_session(call.transaction.this_id)
    return Target(call.transaction.this_type or type_of_id(identifier), identifier)
