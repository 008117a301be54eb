"""XenServer and XCP-ng: XenAPI over XML-RPC (POST / and /RPC2) or JSON-RPC (POST /jsonrpc).

Facts: xapi-project wire protocol. The session is an opaque reference that stands first among the
parameters of every call; `originator`, the fourth of a login's, names the client program.
"""

from dataclasses import dataclass

from decoders import jsontree, xml
from decoders.api import Api
from decoders.element import Element
from decoders.http import Headers, path_of, printable
from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Outcome,
    Rule,
    Target,
    TaskChanged,
    Transaction,
    Want,
)
from decoders.rest_calls import class_of
from decoders.seen import Seen, outcome_of, seen_of

API = "xapi"
_PATHS = ("/", "/RPC2", "/jsonrpc")
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_LOGINS = ("login_with_password", "slave_local_login_with_password", "slave_login")
_LOGOUTS = ("logout", "local_logout")
# Last words of methods that change something, by their beginnings; all else reads or waits.
_CHANGES = """
    start clean_ hard_ shutdown suspend resume pause unpause reboot clone copy snapshot checkpoint
    revert provision destroy create pool_migrate migrate_send set_ add_ remove_ call_plugin plug
    unplug hot_ eject insert resize disable enable evacuate join forget introduce import export
    change_password designate_new_master emergency_ apply_ power_on management_
"""
_CHANGING = tuple(_CHANGES.split())
_TASKS = ("task.get_status", "task.get_record")
_ENDED = {
    "success": Outcome.SUCCESS,
    "failure": Outcome.FAILURE,
    "cancelled": Outcome.FAILURE,
}
_CREATES = ("snapshot", "checkpoint", "clone", "copy", "create", "provision", "import")
_UPDATES = ("set_", "add_", "plug", "unplug", "hot_", "remove_", "revert")
_REFERENCE = "OpaqueRef:"
_NULL = f"{_REFERENCE}NULL"


@dataclass(frozen=True, slots=True)
class _Rpc:
    """A call as either encoding writes it."""

    method: str  # VM.start, without Async.
    is_async: bool
    parameters: list[Element]  # structures keep their members as children
    value: str  # of the result, when it is a text; of a record its `status`
    outcome: Outcome
    fault: str
    seen: Seen


class Xapi(Api):
    name = API

    def rules(self) -> list[Rule]:
        verbs = (*_CHANGING, *_LOGINS, *_LOGOUTS)
        named = tuple(f".{verb}" for verb in verbs)
        return [
            *(Rule(_BOTH, method="POST", path=path, request_has=named) for path in _PATHS),
            *(
                Rule(
                    _BOTH, method="POST", path=path, request_has=_TASKS, response_has=tuple(_ENDED)
                )
                for path in _PATHS
            ),
        ]

    def claims(self, transaction: Transaction) -> bool:
        if transaction.method != "POST" or path_of(transaction.target) not in _PATHS:
            return False
        body = transaction.request_body[:512]
        return b"<methodCall>" in body or (b'"method"' in body and b'"params"' in body)

    def transaction(self, transaction: Transaction) -> list[Message]:
        rpc = self._read(transaction)
        name = rpc.method.rpartition(".")[2]
        if rpc.method.startswith("session.") and name in _LOGINS:
            return [self._login(rpc)]
        if rpc.method.startswith("session.") and name in _LOGOUTS:
            return [
                Logout(
                    **rpc.seen,
                    api=API,
                    operation=rpc.method,
                    outcome=rpc.outcome,
                    fault=rpc.fault,
                )
            ]
        if rpc.method in _TASKS:
            return _task(rpc)
        # Others speak XML-RPC at these paths too; only XenAPI's calls begin with a reference.
        return [_call(rpc)] if name.startswith(_CHANGING) and rpc.seen["token"] else []

    def _read(self, transaction: Transaction) -> _Rpc:
        request = Headers(transaction.request_head)
        if path_of(transaction.target) == "/jsonrpc":
            method, parameters = _json_call(transaction.request_body)
            value, fault = _json_result(transaction.response_body)
        else:
            method, parameters = _xml_call(transaction.request_body)
            value, fault = _xml_result(transaction.response_body)
        outcome = Outcome.FAILURE if fault else outcome_of(transaction)
        first = parameters[0].text.strip() if parameters else ""
        token = self._hasher(first) if first.startswith(_REFERENCE) else ""
        return _Rpc(
            method=printable(method.removeprefix("Async.")),
            is_async=method.startswith("Async."),
            parameters=parameters,
            value=value,
            outcome=outcome,
            fault=printable(fault),
            seen=seen_of(transaction, request, token, ""),
        )

    def _login(self, rpc: _Rpc) -> Login:
        user = _text(rpc, 0)
        originator = _text(rpc, 3)
        return Login(
            **rpc.seen,
            api=API,
            operation=rpc.method,
            method=LoginMethod.PASSWORD,
            outcome=rpc.outcome,
            fault=rpc.fault,
            user=user,
            claimed=user,
            new_tokens=(self._hasher(rpc.value),) if rpc.value else (),
            details=(("originator", originator),) if originator else (),
        )


def _text(rpc: _Rpc, at: int) -> str:
    return printable(rpc.parameters[at].text.strip()) if at < len(rpc.parameters) else ""


def _task(rpc: _Rpc) -> list[Message]:
    outcome = _ENDED.get(rpc.value)
    if outcome is None:
        return []
    fault = rpc.value if outcome is Outcome.FAILURE else ""
    return [TaskChanged(**rpc.seen, task=_text(rpc, 1), outcome=outcome, fault=fault)]


def _call(rpc: _Rpc) -> Call:
    """The object is the first reference after the session; a name that follows is a new one's."""
    kind, _, name = rpc.method.partition(".")
    reference = _text(rpc, 1)
    target = Target(kind, reference) if reference.startswith(_REFERENCE) else Target(kind)
    new_name = _text(rpc, 2) if name in ("clone", "copy", "snapshot", "checkpoint") else ""
    made = rpc.value if rpc.value.startswith(_REFERENCE) and rpc.value != _NULL else ""
    made_now = "" if rpc.is_async else printable(made)
    related = [Target(kind, made_now, new_name)] if new_name or made_now else []
    return Call(
        **rpc.seen,
        api=API,
        operation=rpc.method,
        operation_class=_class(kind, name),
        target=target,
        related=tuple(related),
        outcome=rpc.outcome,
        fault=rpc.fault,
        task=printable(made) if rpc.is_async else "",
    )


def _class(kind: str, name: str) -> OperationClass:
    """A plugin of a VM runs in the guest, one of a host does not."""
    if name == "call_plugin" and kind == "VM":
        return OperationClass.GUEST
    if name.startswith(_CREATES):
        return OperationClass.CREATE
    if name.startswith(_UPDATES):
        return OperationClass.UPDATE
    return class_of(name)


def _xml_call(body: bytes) -> tuple[str, list[Element]]:
    call = xml.parse(body)
    values = [each.at("value") for each in call.at("params").all("param")]
    return call.value("methodName"), [_scalar(value) for value in values]


def _scalar(value: Element) -> Element:
    """A value's type element, or the value itself, which is then a string."""
    return value.children[0] if value.children else value


def _xml_result(body: bytes) -> tuple[str, str]:
    """(value, error) of Status, Value and ErrorDescription."""
    answer = xml.parse(body)
    if answer.at("fault"):
        return "", "fault"
    result = answer.at("params", "param", "value", "struct")
    members = {each.value("name"): _scalar(each.at("value")) for each in result.all("member")}
    if "ErrorDescription" in members:
        errors = members["ErrorDescription"].at("data")
        return "", next((_scalar(each).text.strip() for each in errors.all("value")), "error")
    value = members.get("Value", Element())
    fields = {each.value("name"): _scalar(each.at("value")) for each in value.all("member")}
    return fields.get("status", value).text.strip(), ""


def _json_call(body: bytes) -> tuple[str, list[Element]]:
    call = jsontree.parse(body)
    return call.value("method"), list(call.all("params"))


def _json_result(body: bytes) -> tuple[str, str]:
    """Version 2.0 says `error` {message}; version 1.0 the structure of XML-RPC as `result`."""
    answer = jsontree.parse(body)
    error = answer.at("error")
    if error.children or error.text:  # version 1.0 says null
        return "", error.value("message") or "error"
    result = answer.at("result")
    if result.at("ErrorDescription"):
        return "", result.value("ErrorDescription") or "error"
    value = result.at("Value") or result
    return value.value("status") or value.text.strip(), ""
