"""Cloud Director bodies, XML or JSON, in one form; hrefs and URNs in one form; tasks, vApps and
records read from them.

An object's id is `vapp-UUID`, `vm-UUID`, `vappTemplate-UUID`, or the bare UUID of any other,
whatever host, prefix or URN stood around it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from decoders import jsontree, rest_api, xml
from decoders.element import Element
from decoders.http import Headers
from decoders.message import Outcome, Target

_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_URN = re.compile(rf"urn:vcloud:([A-Za-z]+):({_UUID})")
_HREF = re.compile(rf"([A-Za-z]+)/(?:(vapp|vm|vappTemplate)-)?({_UUID})(?![0-9a-zA-Z-])")
_MEDIA_TYPE = re.compile(r"vnd\.vmware\.(?:vcloud|admin)\.([A-Za-z]+)\+(?:xml|json)")
# URN type or URL segment, in lower case -> (type as the API's elements are named, prefix of the id)
_TYPES = {
    "vapp": ("VApp", "vapp-"),
    "vm": ("Vm", "vm-"),
    "vapptemplate": ("VAppTemplate", "vappTemplate-"),
    "vdc": ("Vdc", ""),
    "org": ("Org", ""),
    "catalog": ("Catalog", ""),
    "catalogitem": ("CatalogItem", ""),
    "network": ("Network", ""),
    "disk": ("Disk", ""),
    "media": ("Media", ""),
    "task": ("Task", ""),
    "user": ("User", ""),
    "group": ("Group", ""),
    "role": ("Role", ""),
    "session": ("Session", ""),
    "gateway": ("EdgeGateway", ""),
    "edgegateway": ("EdgeGateway", ""),
}
_NAMES = {
    name.lower(): name
    for name in ("Task", "TasksList", "VApp", "Vm", "VAppTemplate", "Session", "Error", "Media")
}
_ENDED = {
    "success": Outcome.SUCCESS,
    "error": Outcome.FAILURE,
    "aborted": Outcome.FAILURE,
    "canceled": Outcome.FAILURE,
}
_STOPPED = ("aborted", "canceled")  # says why it failed


def body_of(headers: Headers, body: bytes) -> Element:
    """The tree of an XML or JSON body, its root named as in XML, or of a form; else empty."""
    content_type = headers.first("content-type").lower()
    if "form-urlencoded" in content_type:
        return rest_api.body_of(headers, body)
    start = body.lstrip()[:1]
    if start == b"<" and "html" not in content_type:
        return xml.parse(body)
    if start not in (b"{", b"["):
        return Element()
    root = jsontree.parse(body)
    stated = _MEDIA_TYPE.search(get(root, "type")) or _MEDIA_TYPE.search(content_type)
    root.name = _NAMES.get(stated[1].lower(), stated[1]) if stated else root.name
    return root


def get(element: Element, name: str) -> str:
    """A scalar: an attribute in XML, a member in JSON."""
    return element.attributes.get(name) or element.value(name)


def part(element: Element, name: str) -> Element:
    """A child, `Owner` in XML and `owner` in JSON."""
    return element.at(name) or element.at(name[:1].lower() + name[1:])


def object_at(href: str, name: str = "") -> Target:
    """The last object that this href, path or URN names; only `name` when it names none."""
    urns = _URN.findall(href)
    if urns:
        kind, uuid = urns[-1]
        return _target(kind, uuid, name)
    found = _HREF.findall(href)
    if not found:
        return Target(name=name)
    segment, prefix, uuid = found[-1]
    return _target(prefix or segment, uuid, name)


def _target(kind: str, uuid: str, name: str) -> Target:
    label, prefix = _TYPES.get(kind.lower(), (kind, ""))
    return Target(label, prefix + uuid.lower(), name)


def named_object(element: Element) -> Target:
    """What an element with `href` or `id`, and `name`, stands for."""
    href, urn = get(element, "href"), get(element, "id")
    name = get(element, "name")
    by_href = object_at(href, name)
    return by_href if by_href.id else object_at(urn, name)


@dataclass(frozen=True, slots=True)
class VcdTask:
    id: str
    outcome: Outcome  # UNKNOWN while it runs
    operation: str
    owner: Target
    user: str
    fault: str
    lower_tasks: tuple[str, ...]  # morefs of the vCenter tasks it stands on


def tasks(body: Element, polled: str = "") -> Iterator[VcdTask]:
    """Every task in a body; `polled`, the id in the request's path, serves a body without one."""
    for element in body.walk():
        if element.name == "Task" or (element.name == "task" and get(element, "status")):
            named = named_object(element)
            identifier = named.id if named.type == "Task" else ""
            yield _task(element, identifier or (polled if element is body else ""))


def _task(element: Element, identifier: str) -> VcdTask:
    status = get(element, "status").lower()
    outcome = _ENDED.get(status, Outcome.UNKNOWN)
    error = part(element, "Error")
    fault = get(error, "minorErrorCode") or (status if status in _STOPPED else "")
    return VcdTask(
        id=identifier,
        outcome=outcome,
        operation=get(element, "operationName") or get(element, "operation"),
        owner=named_object(part(element, "Owner")),
        user=get(part(element, "User"), "name"),
        fault=fault if outcome is Outcome.FAILURE else "",
        lower_tasks=tuple(_lower_tasks(part(element, "VcTaskList"))),
    )


def _lower_tasks(listed: Element) -> Iterator[str]:
    for entry in listed.children:
        if entry.name.lower() == "vctask":
            reference = get(entry, "moref") or get(entry, "moRef") or entry.value("MoRef")
            if reference:
                yield reference


def machines(body: Element) -> Iterator[tuple[Target, Target]]:
    """(VM or vApp, what holds it) in vApp, VM and query bodies; the holder is empty if not said."""
    for element in body.walk():
        kind = element.name.lower()
        if kind == "vapp":
            yield from _children(element)
        elif kind.endswith("record"):
            machine = named_object(element)
            if machine.type in ("Vm", "VApp"):
                yield machine, object_at(get(element, "container"), get(element, "containerName"))
    if body.name == "Vm" and (parent := part(body, "VAppParent")):
        yield named_object(body), named_object(parent)


def _children(vapp: Element) -> Iterator[tuple[Target, Target]]:
    holder = named_object(vapp)
    children = part(vapp, "Children").children
    if holder.id and children:
        yield holder, Target()
    for child in children:
        machine = named_object(child)
        if machine.type == "Vm":
            yield machine, holder
