"""oVirt and Red Hat Virtualization: OAuth tokens of the engine's SSO, /ovirt-engine/api.

The API speaks XML by default and JSON when asked. Without OAuth, Basic credentials come with every
request, and JSESSIONID with `Prefer: persistent-auth`.
"""

import re

from decoders import ntlm, xml
from decoders.element import Element
from decoders.http import Headers, basic_user, bearer_token, path_of, printable, query_of
from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Rule,
    TicketIssued,
    Transaction,
    Want,
)
from decoders.rest import RestTransaction
from decoders.rest_api import RestApi, body_of
from decoders.rest_calls import BY_METHOD, CHANGING, class_of, named, object_of, words_of

API = "ovirt"
COOKIE = "JSESSIONID"
_TOKEN = "/ovirt-engine/sso/oauth/token"
_REVOKE = ("/ovirt-engine/services/sso-logout", "/ovirt-engine/sso/oauth/revoke")
_NEGOTIATED = "/ovirt-engine/sso/oauth/token-http-auth"
_API = "/ovirt-engine/api"
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_TYPES = {
    "vms": "VirtualMachine",
    "hosts": "Host",
    "disks": "Disk",
    "snapshots": "Snapshot",
    "templates": "Template",
    "storagedomains": "StorageDomain",
    "networks": "Network",
    "users": "User",
    "clusters": "Cluster",
    "datacenters": "DataCenter",
    "vmpools": "VmPool",
}
# Last words of a POST that act on what the path names.
_ACTIONS = """
    start stop shutdown suspend reboot reset migrate detach clone commitsnapshot previewsnapshot
    undosnapshot restore logon ticket export freezefilesystems thawfilesystems maintenance activate
    deactivate fence install upgrade approve move copy reorder remoteviewerconnectionfile
"""
_ACTING = frozenset(_ACTIONS.split())
_CONSOLES = ("ticket", "remoteviewerconnectionfile", "proxyticket")
_HEX = re.compile("(?:[0-9a-f]{2})+")  # of a console, the id is its name's letters


class Ovirt(RestApi):
    name = API
    headers = ("authorization",)
    cookies = (COOKIE,)

    def rules(self) -> list[Rule]:
        return [
            Rule(_BOTH, method="POST", path=_TOKEN),
            Rule(_BOTH, method="GET", path=_TOKEN),
            Rule(_BOTH, method="POST", path=_NEGOTIATED),
            Rule(_BOTH, method="GET", path=_NEGOTIATED),
            *(Rule(_BOTH, method="POST", path=path) for path in _REVOKE),
            *(Rule(_BOTH, method=method, path=f"{_API}/*") for method in CHANGING),
        ]

    def claims(self, transaction: Transaction) -> bool:
        path = path_of(transaction.target)
        return path in (_TOKEN, _NEGOTIATED, *_REVOKE) or f"{path}/".startswith(f"{_API}/")

    def secret(self, request: Headers, path: str, asked: Element) -> str:
        if path in _REVOKE:
            return asked.value("token") or bearer_token(request.first("authorization"))
        return bearer_token(request.first("authorization")) or request.cookie(COOKIE)

    def fault(self, answered: Element, status: int) -> str:
        said = answered.value("error_code") or answered.value("error") or answered.value("reason")
        return printable(said) or f"HTTP {status}"

    def tree(self, headers: Headers, body: bytes) -> Element:
        """XML as well as JSON and forms; a page of HTML is neither."""
        start = body.lstrip()[:14].lower()
        if start.startswith(b"<") and not start.startswith((b"<!doctype", b"<html")):
            return xml.parse(body)
        return body_of(headers, body)

    def operation_id(self, request: Headers, transaction: Transaction) -> str:
        """A header, or as the SDKs send it a parameter."""
        stated = query_of(transaction.target).get("correlation_id", "")
        return request.text("correlation-id") or printable(stated)

    def session(self, rest: RestTransaction) -> list[Message] | None:
        if rest.path in (_TOKEN, _NEGOTIATED):
            return _login(rest)
        if rest.path in _REVOKE:
            return [_logout(rest)]
        return _basic_login(rest)

    def action(self, rest: RestTransaction) -> list[Message]:
        segments = rest.segments[2:]
        words = [word for word in words_of(segments) if not _HEX.fullmatch(word)]
        if not words:
            return []
        verb, kind = _verb(rest.method, words)
        answered = rest.answered
        label = _TYPES.get(words[-1] if words else "", "")
        target = object_of(segments, _TYPES)
        identity = answered.attributes.get("id") or answered.value("id")
        made = kind is OperationClass.CREATE and identity and identity != target.id
        call = Call(
            **rest.seen,
            api=API,
            operation=printable(".".join([*words, verb])),
            operation_class=kind,
            target=target,
            related=named(rest.asked, label, identity if made and rest.succeeded else ""),
            outcome=rest.outcome,
            fault=rest.fault,
            user=basic_user(rest.request.first("authorization")),
        )
        secret = answered.value("ticket", "value") or answered.value("proxy_ticket", "value")
        if kind is not OperationClass.CONSOLE or not secret:
            return [call]
        ticket = rest.hash(secret)
        return [call, TicketIssued(**rest.seen, kind="console", ticket=ticket, target=target)]


def _login(rest: RestTransaction) -> list[Message]:
    """The parameters may stand in the body or, with GET, in the query."""
    query = query_of(rest.transaction.target)
    claimed = printable(rest.asked.value("username") or query.get("username", ""))
    grant = rest.asked.value("grant_type") or query.get("grant_type", "")
    negotiated = rest.path == _NEGOTIATED
    if negotiated:
        claimed = ntlm.user_of(rest.request.first("authorization").partition(" ")[2])
        if rest.transaction.status == 401 and rest.response.first("www-authenticate"):
            return []  # a further round
    kind = LoginMethod.SSPI if negotiated else LoginMethod.PASSWORD
    login = Login(
        **rest.seen,
        api=API,
        operation=f"{rest.method} {rest.path}",
        method=LoginMethod.TOKEN if grant.endswith(("_token", "_code")) else kind,
        outcome=rest.outcome,
        fault=rest.fault,
        user=claimed,
        claimed=claimed,
        new_tokens=rest.hashes([rest.answered.value("access_token")]) if rest.succeeded else (),
    )
    return [login]


def _basic_login(rest: RestTransaction) -> list[Message] | None:
    """Credentials that buy a cookie (`Prefer: persistent-auth`), where nothing else is done."""
    claimed = basic_user(rest.request.first("authorization"))
    new = rest.hashes(rest.response.set_cookies(COOKIE)) if rest.succeeded else ()
    if not claimed or not new or rest.method in CHANGING:
        return None
    login = Login(
        **rest.seen,
        api=API,
        operation=f"{rest.method} {_API}",
        method=LoginMethod.BASIC,
        outcome=rest.outcome,
        user=claimed,
        claimed=claimed,
        new_tokens=new,
    )
    return [login]


def _logout(rest: RestTransaction) -> Logout:
    return Logout(
        **rest.seen,
        api=API,
        operation=f"POST {rest.path}",
        outcome=rest.outcome,
        fault=rest.fault,
    )


def _verb(method: str, words: list[str]) -> tuple[str, OperationClass]:
    """`start` of vms/ID/start, which is then no longer a word; else what the method says."""
    if method == "POST" and len(words) > 1 and words[-1] in (*_ACTING, *_CONSOLES):
        verb = words.pop()
        return verb, OperationClass.CONSOLE if verb in _CONSOLES else class_of(verb)
    if "graphicsconsoles" in words and method == "POST":
        return "create", OperationClass.CONSOLE
    return BY_METHOD[method]
