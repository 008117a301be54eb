"""Hyper-V over WinRM: /wsman, WS-Management in SOAP, accounts by Negotiate, NTLM or Basic.

The security layer authenticates the connection, so that is the session, and later requests on it
carry no credentials.

Over HTTP the body is sealed by the security layer (`multipart/encrypted`), so what remains is who
logged in, from what the NTLM AUTHENTICATE message says in clear, and how much was said. Inside TLS
the body can be read: actions on the Hyper-V classes of root/virtualization/v2 are calls of their
methods, a shell is a command prompt on the host.
"""

import base64
import binascii
import re

from decoders import ntlm
from decoders.api import Api
from decoders.element import Element
from decoders.http import Headers, basic_user, path_of, printable, scheme
from decoders.message import (
    CONNECTION,
    Call,
    Login,
    LoginMethod,
    Message,
    OperationClass,
    Outcome,
    Rule,
    Target,
    Transaction,
    TransactionFlag,
    Want,
)
from decoders.rest_calls import class_of
from decoders.seen import Seen, outcome_of, seen_of
from decoders.soap import envelope, fault_name

API = "winrm"
_PATH = "/wsman"
_PATHS = (_PATH, f"{_PATH}-anon/identify")
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_NEGOTIATED = ("negotiate", "ntlm", "kerberos", "credssp")
_SHELL = "windows/shell"
_VERBS = {
    "Create": OperationClass.CREATE,
    "Put": OperationClass.UPDATE,
    "Delete": OperationClass.DELETE,
}
_STREAMING = ("Send", "Signal", "Receive")  # of a shell whose command is told already
_READS = ("Get", "Enumerate", "Pull", "Release", "Receive", "Subscribe", "Unsubscribe")
# tkt-vno 5, then the realm of a Ticket: its length is the one byte caught.
_TICKET = re.compile(rb"\xa0\x03\x02\x01\x05\xa1.\x1b([\x01-\x7d])", re.DOTALL)
_STATES = {"2": "on", "3": "off", "4": "shutdown", "9": "pause", "10": "reset", "11": "resume"}


class WinRm(Api):
    """Needs no hasher: the session is the connection. Keeps nothing between transactions."""

    name = API
    headers = ("authorization",)

    def rules(self) -> list[Rule]:
        return [Rule(_BOTH, method="POST", path=path) for path in _PATHS]

    def claims(self, transaction: Transaction) -> bool:
        return transaction.method == "POST" and path_of(transaction.target) in _PATHS

    def transaction(self, transaction: Transaction) -> list[Message]:
        request = Headers(transaction.request_head)
        authorization = request.first("authorization")
        user, realm = _user(authorization)
        header, body = envelope(transaction.request_body)
        message_id = printable(header.value("MessageID"))
        seen = seen_of(transaction, request, CONNECTION, message_id)
        messages: list[Message] = []
        if (user or realm) and _is_new(transaction, authorization):
            messages.append(_login(transaction, seen, authorization, user, realm))
        if transaction.status == 401:  # nothing was done
            return messages
        call = _call(transaction, seen, header, body)
        return [*messages, call] if call is not None else messages


def _user(authorization: str) -> tuple[str, str]:
    """(whom the credentials name, realm): of a Kerberos ticket only the realm is in clear."""
    if scheme(authorization) == "basic":
        return basic_user(authorization), ""
    if scheme(authorization) not in _NEGOTIATED:
        return "", ""
    token = authorization.partition(" ")[2]
    return ntlm.user_of(token), _realm(token)


def _realm(token: str) -> str:
    """Of the service's ticket in an AP-REQ (RFC 4120 section 5.3), wherever SPNEGO put it."""
    try:
        blob = base64.b64decode(token)
    except (binascii.Error, ValueError):
        return ""
    found = _TICKET.search(blob)
    text = blob[found.end() : found.end() + found[1][0]] if found else b""
    return printable(text.decode("latin-1"))


def _is_new(transaction: Transaction, authorization: str) -> bool:
    """Basic credentials come with every request; a 401 that carries a challenge is not the end."""
    if scheme(authorization) == "basic" and transaction.status != 401:
        return bool(transaction.flags & TransactionFlag.NEW_TOKEN)
    response = Headers(transaction.response_head)
    challenges = [line.partition(" ") for line in response.all("www-authenticate")]
    goes_on = any(kind.lower() in _NEGOTIATED and rest for kind, _, rest in challenges)
    return transaction.status != 401 or not goes_on


def _login(
    transaction: Transaction, seen: Seen, authorization: str, user: str, realm: str
) -> Login:
    """Whoever is let in, whatever then becomes of the request itself."""
    outcome = outcome_of(transaction)
    is_basic = scheme(authorization) == "basic"
    return Login(
        **seen,
        api=API,
        operation=f"POST {_PATH}",
        method=LoginMethod.BASIC if is_basic else LoginMethod.SSPI,
        outcome=Outcome.SUCCESS if transaction.status not in (0, 401, 403) else outcome,
        fault=f"HTTP {transaction.status}" if transaction.status in (401, 403) else "",
        user=user,
        claimed=user,
        details=(("realm", realm),) if realm and not user else (),
    )


def _call(transaction: Transaction, seen: Seen, header: Element, body: Element) -> Call | None:
    """Of a readable body: what the Action says is done, to the resource that ResourceURI names."""
    action = header.value("Action").rpartition("/")[2]
    resource = header.value("ResourceURI")
    if not action or action in _READS or (_SHELL in resource and action in _STREAMING):
        return None
    _, answered = envelope(transaction.response_body)
    fault = fault_name(answered) if answered.name == "Fault" else ""
    kind = resource.rpartition("/")[2].partition("?")[0]
    name, operation_class = _operation(action, resource, kind, body)
    return Call(
        **seen,
        api=API,
        operation=printable(name),
        operation_class=operation_class,
        target=_selected(header, kind),
        outcome=Outcome.FAILURE if fault else outcome_of(transaction),
        fault=printable(fault),
    )


def _operation(action: str, resource: str, kind: str, body: Element) -> tuple[str, OperationClass]:
    if _SHELL in resource:
        return f"shell.{action}", OperationClass.CONSOLE
    if action == "RequestStateChange":
        state = _STATES.get(body.value("RequestedState"), "")
        return f"{kind}.{action}{'.' + state if state else ''}", OperationClass.POWER
    return f"{kind}.{action}", _VERBS.get(action) or class_of(action)


def _selected(header: Element, kind: str) -> Target:
    """The instance that the selectors name: Msvm_ComputerSystem by its Name, a GUID."""
    for selector in header.at("SelectorSet").all("Selector"):
        if selector.attributes.get("Name") in ("Name", "InstanceID", "ShellId"):
            return Target(kind, printable(selector.text.strip()))
    return Target(kind) if kind else Target()
