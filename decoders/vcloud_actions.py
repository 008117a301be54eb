"""What a POST, PUT or DELETE at Cloud Director does -> Call.

The name of an operation is the API's own action name, else the verb with the path's words; its
class follows from them. 201 and 202 come with a Task, or with the new object that carries one.
"""

import re
from urllib.parse import unquote

from decoders.element import Element
from decoders.http import basic_user, printable
from decoders.message import Call, Message, OperationClass, Target, TicketIssued
from decoders.rest import RestTransaction
from decoders.vcloud_bodies import VcdTask, get, named_object, object_at, part, tasks
from decoders.vcloud_sessions import API, oauth_organisation

RELATED_MAX = 64
REQUEST_ID = "x-vmware-vcloud-request-id"
_ORGANISATION_ID, _ORGANISATION = "x-vmware-vcloud-tenant-context", "x-vmware-vcloud-auth-context"
_IDENTIFIER = re.compile(r"(?:urn:|[A-Za-z]*-?[0-9a-f]{8}-[0-9a-f]{4}-|\d)", re.IGNORECASE)
_METADATA = ("metadata", "GENERAL", "SYSTEM")  # keys, which anybody chooses, follow
_BY_VERB = {
    "POST": OperationClass.CREATE,
    "PUT": OperationClass.UPDATE,
    "PATCH": OperationClass.UPDATE,
    "DELETE": OperationClass.DELETE,
}
_BY_ACTION = (  # beginnings of an action's name; the first that fits
    ("deploy undeploy", OperationClass.POWER),
    ("acquire", OperationClass.CONSOLE),
    ("enableDownload disableDownload", OperationClass.DISK),
    ("remove delete unregister", OperationClass.DELETE),
    (
        "instantiate compose clone capture create upload import register copy",
        OperationClass.CREATE,
    ),
)
# Last words of a POST in /cloudapi that name what is done, where the others name what is made.
_DOING = """
    publish unpublish sync subscribe upgrade migrate move resolve refresh rotate unlock promote
    enable disable invocations takeOwnership changeOwner reset reconnect
"""
_READING = (
    "metrics",
    "query",
    "checkCompliance",
    "validate",
    "search",
    "hostReferences",
    "testConnection",
    "probe",
)
_NAMED_PARTS = ("Source", "Vm", "Disk", "Media", "Entity", "Network", "Host", "Datastore")
_NAMES = ("name", "username", "client_name")  # of /api, of users in /cloudapi, of an API token
_OBJECT_TYPES = "VApp VAppTemplate Vm Media Disk Catalog CatalogItem Vdc Org"


def action(vcd: RestTransaction) -> list[Message]:
    """The call and the ticket it issued; nothing of a read that is sent as POST."""
    path = unquote(vcd.path)
    words = _words(path)
    name = _action_name(words)
    if vcd.method == "POST" and any(word.startswith(_READING) for word in (name, *words[-2:])):
        return []
    kind = _class(vcd.method, words, name)
    task = next((each for each in tasks(vcd.answered) if each.id), None)
    target, made = _objects(vcd, path, task)
    call = Call(
        **vcd.seen,
        api=API,
        operation=name or f"{vcd.method} {'/'.join(words)}",
        operation_class=kind,
        target=target,
        related=_related(vcd, target, made),
        outcome=vcd.outcome,
        fault=vcd.fault,
        task=task.id if task else _location_task(vcd),
        request_id=vcd.response.text(REQUEST_ID),
        user=basic_user(vcd.request.first("authorization")),
        tenant=_tenant(vcd),
    )
    return [call, *_issued(vcd, call)]


def _words(path: str) -> list[str]:
    """The path without prefix, version and ids: vApp/power/action/powerOn; a VM's path says vm."""
    segments = [segment for segment in path.split("/") if segment]
    if segments[0] == "oauth":
        return ["oauth", segments[-1]]
    words: list[str] = []
    for segment in segments[1:]:
        if "metadata" in words and segment not in _METADATA:
            break
        if segment.startswith("vm-") and words[-1:] in (["vApp"], ["vAppTemplate"]):
            words[-1] = "vm"
        elif not _IDENTIFIER.match(segment):
            words.append(segment)
    return words


def _action_name(words: list[str]) -> str:
    return words[-1] if len(words) >= 2 and words[-2] == "action" else ""


def _class(method: str, words: list[str], action_name: str) -> OperationClass:
    if not action_name:
        does = method == "POST" and words[-1:] and words[-1].startswith(tuple(_DOING.split()))
        return OperationClass.UPDATE if does else _BY_VERB[method]
    if "power" in words:
        return OperationClass.POWER
    for beginnings, kind in _BY_ACTION:
        if action_name.startswith(tuple(beginnings.split())):
            return kind
    return OperationClass.UPDATE


def _objects(vcd: RestTransaction, path: str, task: VcdTask | None) -> tuple[Target, list[Target]]:
    """(the path's object with the name that the response knows, objects that the call made)"""
    target, made = object_at(path), []
    if organisation := oauth_organisation(vcd):
        target = Target("Org", name=organisation)
    if vcd.answered.name and vcd.answered.name in _OBJECT_TYPES.split():
        made.append(named_object(vcd.answered))
    if task:
        made.append(task.owner)
    named = next((each for each in made if target.id and each.id == target.id), None)
    return named or target, [each for each in made if each.id]


def _related(vcd: RestTransaction, target: Target, made: list[Target]) -> tuple[Target, ...]:
    named = [*made]
    name = next((said for each in _NAMES if (said := get(vcd.asked, each))), "")
    if name and name not in [each.name for each in (*made, target)]:
        named.append(Target(name=name))
    for element in vcd.asked.walk():
        if element.name[:1].upper() + element.name[1:] in _NAMED_PARTS and get(element, "href"):
            named.append(named_object(element))
    named += _organisation(vcd)
    return tuple(dict.fromkeys(each for each in named if each != target))[:RELATED_MAX]


def _organisation(vcd: RestTransaction) -> list[Target]:
    """The organisation inside which the user says to act; a provider's user, if it is not his."""
    identifier, name = vcd.request.text(_ORGANISATION_ID), vcd.request.text(_ORGANISATION)
    identifier = object_at(identifier).id or identifier.lower()
    return [Target("Org", identifier, name)] if identifier or name else []


def _tenant(vcd: RestTransaction) -> str:
    return next((each.name or each.id for each in _organisation(vcd)), "")


def _location_task(vcd: RestTransaction) -> str:
    """/cloudapi answers 202 without a body: the task stands in Location."""
    location = object_at(vcd.response.first("location"))
    return location.id if location.type == "Task" else ""


def _issued(vcd: RestTransaction, call: Call) -> list[Message]:
    if call.operation_class is not OperationClass.CONSOLE or not vcd.succeeded:
        return []
    secret = _ticket(vcd.answered)
    kind = "mks" if "Mks" in call.operation else "screen"
    if not secret:
        return []
    return [TicketIssued(**vcd.seen, kind=kind, ticket=vcd.hasher(secret), target=call.target)]


def _ticket(answered: Element) -> str:
    """MksTicket/Ticket, or the last part of the URL that a ScreenTicket is."""
    if ticket := part(answered, "Ticket").text.strip():
        return ticket
    return printable(unquote(answered.text.strip().rpartition("/")[2].partition("?")[0]))
