"""OpenStack: Keystone's tokens, and what Nova, Cinder, Glance, Neutron and Heat are asked to do.

Identity API v3 and the services' own APIs, each at a port of its own or behind a path prefix of one
web server. All take Keystone's token in X-Auth-Token, so the account is Keystone's everywhere. A
service that validates a token of its client shows whose it is, also when its issue was not seen.
"""

import re
from urllib.parse import unquote

from decoders.element import Element
from decoders.http import Headers, path_of, printable
from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Rule,
    SessionSeen,
    Target,
    TicketIssued,
    Transaction,
    Want,
)
from decoders.rest import RestTransaction
from decoders.rest_api import RestApi
from decoders.rest_calls import BY_METHOD, CHANGING, class_of, named, object_of, words_of

API = "openstack"
TOKEN, SUBJECT = "x-auth-token", "x-subject-token"
REQUEST_ID = "x-openstack-request-id"
_TOKENS = "/v3/auth/tokens"
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_VERSION = re.compile(r"v[123](\.\d+)?")
# First words after the version that only OpenStack's services have.
_WORDS = """
    servers volumes snapshots backups images networks ports subnets routers floatingips flavors
    os-keypairs os-server-groups os-hypervisors os-services os-aggregates stacks
    security-groups security-group-rules auth users projects roles OS-TRUST credentials
    role_assignments domains groups types attachments group_snapshots keypairs
"""
_RESOURCES = frozenset(_WORDS.split())
_TYPES = {
    "servers": "Server",
    "volumes": "Volume",
    "snapshots": "VolumeSnapshot",
    "images": "Image",
    "networks": "Network",
    "ports": "Port",
    "users": "User",
    "projects": "Project",
    "stacks": "Stack",
}
_METHODS = {
    "password": LoginMethod.PASSWORD,
    "totp": LoginMethod.PASSWORD,
    "saml2": LoginMethod.SAML,
    "mapped": LoginMethod.SAML,
    "kerberos": LoginMethod.SSPI,
    "external": LoginMethod.CERTIFICATE,
}
_APPLICATION = "application_credential"
# Members of a server's action that only look.
_READING = ("os-getConsoleOutput", "os-getRDPConsoleOutput")
# Members whose words would say something else.
_VERBS = {
    "os-terminate_connection": OperationClass.UPDATE,
    "os-resetState": OperationClass.UPDATE,
    "os-reset_status": OperationClass.UPDATE,
    "restore": OperationClass.UPDATE,
}


class OpenStack(RestApi):
    name = API
    headers = (TOKEN, SUBJECT)
    request_id = REQUEST_ID

    def rules(self) -> list[Rule]:
        return [
            Rule(_BOTH, method="POST", path=f"*{_TOKENS}"),
            Rule(Want.RESPONSE_BODY, method="GET", path=f"*{_TOKENS}"),
            *(
                Rule(_BOTH, method=method, path=path)
                for path in ("*/v2/*", "*/v2.*/*", "*/v3/*", "*/v1/*")
                for method in CHANGING
            ),
        ]

    def claims(self, transaction: Transaction) -> bool:
        path = path_of(transaction.target)
        if path.endswith(_TOKENS):
            return True
        _, rest = _split(path)
        return bool(rest) and rest[0] in _RESOURCES and _has_token(transaction.request_head)

    def secret(self, request: Headers, path: str, asked: Element) -> str:
        """Of a login by token the token that is exchanged, so that both lead to one identity."""
        exchanged = asked.value("auth", "identity", "token", "id") if path.endswith(_TOKENS) else ""
        return request.first(TOKEN) or exchanged

    def session(self, rest: RestTransaction) -> list[Message] | None:
        return _token(rest) if rest.path.endswith(_TOKENS) else None

    def action(self, rest: RestTransaction) -> list[Message]:
        return _action(rest)

    def fault(self, answered: Element, status: int) -> str:
        """The one member of a fault, as itemNotFound; Keystone's `error` says its title, Heat's
        and Neutron's their type."""
        error, refused = answered.at("error"), answered.at("NeutronError")
        said = error.value("title") or error.value("type") or refused.value("type")
        names = [child.name for child in answered.children if child.value("message")]
        name = said or next((name for name in names if name != "error"), "")
        return printable(name) or f"HTTP {status}"


def _has_token(head: bytes) -> bool:
    return b"x-auth-token:" in head.lower()


def _split(path: str) -> tuple[list[str], list[str]]:
    """(what stands before the version, what after it without the project's id)."""
    segments = [segment for segment in path.split("/") if segment]
    for at, segment in enumerate(segments):
        if _VERSION.fullmatch(segment):
            rest = segments[at + 1 :]
            if len(rest) > 1 and rest[0] not in _RESOURCES and rest[1] in _RESOURCES:
                rest = rest[1:]
            return segments[:at], rest
    return segments, []


def _token(rest: RestTransaction) -> list[Message]:
    subject = rest.request.first(SUBJECT)
    token = rest.answered.at("token")
    if rest.method == "POST":
        return [_login(rest, token)]
    of_subject = rest.seen.copy()
    of_subject["token"] = rest.hash(subject) or of_subject["token"]
    if rest.method == "DELETE":
        return [
            Logout(
                **of_subject,
                api=API,
                operation=f"DELETE {_TOKENS}",
                outcome=rest.outcome,
                fault=rest.fault,
            )
        ]
    user = _account(token)
    return [SessionSeen(**of_subject, user=user)] if subject and user and rest.succeeded else []


def _login(rest: RestTransaction, token: Element) -> Login:
    identity = rest.asked.at("auth", "identity")
    methods = identity.values("methods")
    method = methods[0] if methods else ""
    claimed = _claimed(identity, method)
    return Login(
        **rest.seen,
        api=API,
        operation=f"POST {_TOKENS}",
        method=_METHODS.get(method, LoginMethod.TOKEN),
        outcome=rest.outcome,
        fault=rest.fault,
        user=_account(token) or claimed,
        claimed=claimed,
        new_tokens=rest.hashes(rest.response.all(SUBJECT)) if rest.succeeded else (),
        delegates=_delegates(token),
        details=_details(token, method),
    )


def _claimed(identity: Element, method: str) -> str:
    """The name in the request; an id, where only that is said: of a user, or of an application
    credential."""
    holder = identity.at(method)
    user = holder if method == _APPLICATION and holder.value("id") else holder.at("user")
    name = user.value("name") or user.value("id")
    domain = user.value("domain", "name")
    return printable(f"{name}@{domain}" if name and domain else name) if user else ""


def _account(token: Element) -> str:
    """`name@domain`: names are unique within a domain only. Of a trust that impersonates, the
    token's user is whoever gave it."""
    user = token.at("user")
    name, domain = user.value("name"), user.value("domain", "name")
    return printable(f"{name}@{domain}" if name and domain else name)


def _delegates(token: Element) -> tuple[str, ...]:
    """Who acts for the account by a trust; Keystone gives the id only."""
    trust = token.at("OS-TRUST:trust")
    trustee = trust.at("trustee_user")
    acts = trust.value("impersonation").lower() == "true"
    name = (trustee.value("name") or trustee.value("id")) if acts else ""
    return (printable(name),) if name else ()


def _details(token: Element, method: str) -> tuple[tuple[str, str], ...]:
    stated = (
        ("auth_method", method),
        ("project", token.value("project", "name")),
        (_APPLICATION, token.value(_APPLICATION, "name")),
        ("expires_at", token.value("expires_at")),
    )
    return tuple((key, printable(value)) for key, value in stated if value)


def _action(rest: RestTransaction) -> list[Message]:
    """The call, and the console that it opened; nothing of what only looks."""
    _, segments = _split(rest.path)
    words = words_of(segments)
    verb, kind = _verb(rest, words)
    if verb in _READING or not words:
        return []
    target = object_of(segments, _TYPES)
    body = rest.asked.children[0] if len(rest.asked.children) == 1 else rest.asked
    made = rest.answered.children[0] if rest.answered.children else Element()
    label = "" if rest.path.endswith("/action") else _TYPES.get(words[-1], words[-1])
    call = Call(
        **rest.seen,
        api=API,
        operation=printable(".".join([*words, verb])),
        operation_class=kind,
        target=target,
        related=_related(rest, body, made, label, target),
        outcome=rest.outcome,
        fault=rest.fault,
        request_id=_request_id(rest.response),
    )
    return [call, *_console(rest, made, target)]


def _verb(rest: RestTransaction, words: list[str]) -> tuple[str, OperationClass]:
    """Of `action`, the one member of the body: os-stop, rebuild, createImage."""
    if rest.method == "POST" and words[-1:] == ["action"]:
        words.pop()
        verb = next((each.name for each in rest.asked.children), "action")
        return verb, _VERBS.get(verb) or class_of(verb)
    if words[-1:] == ["remote-consoles"]:
        return words.pop(), OperationClass.CONSOLE
    return BY_METHOD[rest.method]


def _related(
    rest: RestTransaction, asked: Element, made: Element, label: str, target: Target
) -> tuple[Target, ...]:
    """The object that the body names or the answer made, and the volume that is attached."""
    identity = made.value("id") if rest.method == "POST" and label else ""
    volume = asked.value("volumeId")
    attached = (Target("Volume", printable(volume)),) if volume else ()
    return (*named(asked, label, identity if identity != target.id else ""), *attached)


def _request_id(response: Headers) -> str:
    return response.text(REQUEST_ID) or response.text("x-compute-request-id")


def _console(rest: RestTransaction, made: Element, target: Target) -> list[Message]:
    """The URL of a console carries its token in the query."""
    _, _, token = unquote(made.value("url")).partition("token=")
    token = token.partition("&")[0]
    if not token or not rest.succeeded:
        return []
    return [TicketIssued(**rest.seen, kind="console", ticket=rest.hash(token), target=target)]
