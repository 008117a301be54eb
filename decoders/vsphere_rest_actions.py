"""What a POST, PUT, PATCH or DELETE at the vSphere Automation API does -> Call.

An operation is named by the path's words and the action, `vcenter.vm.power.stop`, whether the
action stands in the query (?action=stop) or, as in /rest, at the end of the path.
"""

import re

from decoders.element import Element
from decoders.http import basic_user, parameter, printable, query_of, scheme
from decoders.message import Call, Message, OperationClass, Target, TicketIssued
from decoders.rest import RestTransaction
from decoders.saml import sign_principal

API = "vsphere-rest"
ACTIVATION_ID = "vapi-ctx-actid"  # becomes TaskInfo.activationId of the task below
_TYPES = {
    "vm": "VirtualMachine",
    "host": "HostSystem",
    "cluster": "ClusterComputeResource",
    "datacenter": "Datacenter",
    "datastore": "Datastore",
    "folder": "Folder",
    "network": "Network",
    "resource-pool": "ResourcePool",
    "library": "ContentLibrary",
    "item": "ContentLibraryItem",
}
_BY_METHOD = {
    "POST": ("create", OperationClass.CREATE),
    "PUT": ("set", OperationClass.UPDATE),
    "PATCH": ("update", OperationClass.UPDATE),
    "DELETE": ("delete", OperationClass.DELETE),
}
_READING = (
    "get",
    "list",
    "find",
    "filter",
    "validate",
    "check",
    "query",
    "export",
    "hello",
    "precheck",
    "preview",
    "probe",
    "test",
    "compare",
    "estimate",
)
_CREATING = ("create", "clone", "instant-clone", "deploy", "register", "add", "copy")
_IDENTIFIER = re.compile(r"[a-z-]*-[a-z]?\d+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+|.*[:%].*", re.IGNORECASE)


def action(rest: RestTransaction) -> list[Message]:
    """The call and the console ticket it issued; nothing of a read that is sent as POST."""
    words, target = _path(rest.segments[1:])
    query = query_of(rest.transaction.target)
    verb = query.get("action") or query.get("~action") or _verb(rest.method, words)
    kind = _class(rest.method, words, verb)
    if kind is None:
        return []
    credentials = rest.asked.at("credentials")
    call = Call(
        **rest.seen,
        api=API,
        operation=printable(".".join([*words, verb])),
        operation_class=kind,
        target=target,
        related=tuple(_related(rest, words, kind)),
        outcome=rest.outcome,
        fault=rest.fault,
        task=rest.answered.text.strip() if "vmw-task" in query else "",
        guest_user=credentials.value("user_name"),
        guest_interactive=credentials.value("interactive_session") == "true",
        user=_own_user(rest.request.first("authorization")),
        activation_id=rest.request.text(ACTIVATION_ID),
    )
    return [call, *_issued(rest, call)]


def _own_user(authorization: str) -> str:
    """Of credentials that a request brings along, in place of a session."""
    if scheme(authorization) == "sign":
        return sign_principal(parameter(authorization, "token")).subject
    return basic_user(authorization)


def _path(segments: list[str]) -> tuple[list[str], Target]:
    """The words without identifiers, and the last object of a known type, else the first object."""
    if segments[:2] == ["com", "vmware"]:
        segments = segments[2:]
    words: list[str] = []
    target = Target()
    for segment in segments:
        if not words or not _IDENTIFIER.fullmatch(segment):
            words.append(segment)
        elif not target.id or words[-1] in _TYPES:
            target = Target(_TYPES.get(words[-1], words[-1]), segment)
    return words, target


def _verb(method: str, words: list[str]) -> str:
    """Takes it off the path where /rest puts it: POST /rest/vcenter/vm/vm-39/power/stop."""
    if method == "POST" and words[-2:-1] == ["power"]:
        return words.pop()
    return _BY_METHOD[method][0]


def _class(method: str, words: list[str], verb: str) -> OperationClass | None:
    if verb.lower().startswith(_READING):
        return None
    if "power" in words:
        return OperationClass.POWER
    if "guest" in words and "vm" in words:
        return OperationClass.GUEST
    if words[-2:] == ["console", "tickets"]:
        return OperationClass.CONSOLE
    if method == "POST" and not verb.startswith(_CREATING):
        return OperationClass.UPDATE
    return _BY_METHOD[method][1]


def _related(rest: RestTransaction, words: list[str], kind: OperationClass) -> list[Target]:
    asked: Element = rest.asked.at("spec") or rest.asked
    label = _TYPES.get(words[-1] if words else "", "")
    related = []
    if name := asked.value("name"):
        related.append(Target(label, name=name))
    if kind is OperationClass.GUEST and (path := asked.value("path")):
        related.append(Target("GuestProgram" if "processes" in words else "GuestFile", name=path))
    made = rest.answered.text.strip()
    if kind is OperationClass.CREATE and rest.succeeded and _IDENTIFIER.fullmatch(made):
        related.append(Target(label, made))
    return related


def _issued(rest: RestTransaction, call: Call) -> list[Message]:
    """The ticket is the last part of a wss:// URL."""
    secret = rest.answered.value("ticket").rpartition("/")[2]
    if call.operation_class is not OperationClass.CONSOLE or not secret or not rest.succeeded:
        return []
    ticket = rest.hash(secret)
    return [TicketIssued(**rest.seen, kind="webmks", ticket=ticket, target=call.target)]
