"""Aria Automation (vRealize Automation) and VCF Automation: tokens, deployments, day-2 actions.

A password buys a refresh token, the refresh token buys the access token (a JWT) that every call
carries as Bearer. The first answer names nobody the second call could be joined to but by the
refresh token itself, so its hash is a session token of its own.
"""

from urllib.parse import unquote

from decoders.element import Element
from decoders.http import Headers, bearer_token, path_of, printable
from decoders.jwt import claims_of
from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Rule,
    Target,
    Transaction,
    Want,
)
from decoders.rest import RestTransaction
from decoders.rest_api import RestApi
from decoders.rest_calls import BY_METHOD, CHANGING, class_of, named, object_of, words_of

API = "aria"
_PASSWORD_LOGIN = "/csp/gateway/am/api/login"
_REFRESH_LOGINS = ("/iaas/api/login", "/csp/gateway/am/api/auth/api-tokens/authorize")
_OAUTH = "/tm/oauth/"
_IDENTITY = "/identity/api/tokens"  # version 7
_LOGOUT = "/csp/gateway/am/api/auth/logout"
# First segments that are Aria Automation's own services; the last one is version 7's.
_WORDS = "iaas deployment catalog blueprint vco project-service abx form-service catalog-service"
_PREFIXES = tuple(f"/{word}/api/" for word in _WORDS.split())
_READING = ("login", "search", "validate", "query")
_TYPES = {
    "deployments": "Deployment",
    "machines": "Machine",
    "resources": "Resource",
    "items": "CatalogItem",
    "blueprints": "Blueprint",
    "workflows": "Workflow",
    "block-devices": "Disk",
    "networks": "Network",
}
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY


class Aria(RestApi):
    name = API
    headers = ("authorization",)

    def rules(self) -> list[Rule]:
        logins = (_PASSWORD_LOGIN, *_REFRESH_LOGINS, f"{_OAUTH}*", _IDENTITY, _LOGOUT)
        return [
            Rule(Want.REQUEST_BODY, method="DELETE", path=f"{_IDENTITY}/*"),
            *(Rule(_BOTH, method="POST", path=path) for path in logins),
            *(
                Rule(_BOTH, method=method, path=f"{prefix}*")
                for prefix in _PREFIXES
                for method in CHANGING
            ),
        ]

    def claims(self, transaction: Transaction) -> bool:
        path = path_of(transaction.target)
        return path.startswith((*_PREFIXES, "/csp/gateway/am/api/", _OAUTH, _IDENTITY))

    def secret(self, request: Headers, path: str, asked: Element) -> str:
        if path in _REFRESH_LOGINS or path.startswith(_OAUTH):
            return _refresh(asked)
        if path.startswith(f"{_IDENTITY}/"):
            return unquote(path.removeprefix(f"{_IDENTITY}/"))
        return bearer_token(request.first("authorization"))

    def session(self, rest: RestTransaction) -> list[Message] | None:
        if _is_login(rest):
            return [_login(rest)]
        ends = rest.path == _LOGOUT or (
            rest.method == "DELETE" and rest.path.startswith(f"{_IDENTITY}/")
        )
        return [_logout(rest)] if ends else None

    def action(self, rest: RestTransaction) -> list[Message]:
        return _action(rest)


def _refresh(asked: Element) -> str:
    return asked.value("refreshToken") or asked.value("refresh_token")


def _is_login(rest: RestTransaction) -> bool:
    logins = rest.path in (_PASSWORD_LOGIN, _IDENTITY, *_REFRESH_LOGINS)
    return rest.method == "POST" and (logins or rest.path.startswith(_OAUTH))


def _login(rest: RestTransaction) -> Login:
    name = rest.asked.value("username")
    domain = rest.asked.value("domain") or rest.asked.value("tenant")
    claimed = printable(f"{name}@{domain}" if domain and "@" not in name else name)
    tokens = [
        rest.answered.value(each)
        for each in ("access_token", "token", "cspAuthToken", "refresh_token", "id_token", "id")
    ]
    said = next((user for token in tokens if (user := _jwt_user(token))), "")
    return Login(
        **rest.seen,
        api=API,
        operation=f"POST {rest.path}",
        method=LoginMethod.PASSWORD if claimed else LoginMethod.TOKEN,
        outcome=rest.outcome,
        fault=rest.fault,
        user=claimed or said,
        claimed=claimed,
        new_tokens=rest.hashes(tokens) if rest.succeeded else (),
    )


def _jwt_user(token: str) -> str:
    """The account in an access token; the signature is not read."""
    claims = claims_of(token)
    names = ("preferred_username", "acct", "username", "sub")
    name = next((name for each in names if (name := claims.value(each))), "")
    domain = claims.value("domain")
    return printable(f"{name}@{domain}" if domain and name and "@" not in name else name)


def _logout(rest: RestTransaction) -> Logout:
    return Logout(
        **rest.seen,
        api=API,
        operation=f"{rest.method} {_LOGOUT if rest.path == _LOGOUT else _IDENTITY}",
        outcome=rest.outcome,
        fault=rest.fault,
    )


def _action(rest: RestTransaction) -> list[Message]:
    segments = rest.segments
    words = words_of(segments)
    verb, kind = _verb(rest, words)
    if not words or words[-1].lower() in _READING or verb.lower() in _READING:
        return []
    target = object_of(segments, _TYPES)
    return [
        Call(
            **rest.seen,
            api=API,
            operation=printable(".".join([words[0], *words[2:], verb])),
            operation_class=kind,
            target=target,
            related=(*named(rest.asked, ""), *_deployment(rest, target)),
            outcome=rest.outcome,
            fault=rest.fault,
            request_id=printable(rest.answered.value("id") or rest.answered.value("requestId")),
        )
    ]


def _verb(rest: RestTransaction, words: list[str]) -> tuple[str, OperationClass]:
    """`operations/power-off` of a machine; `actionId` of a day-2 request; else the method."""
    if rest.method == "POST" and words[-2:-1] == ["operations"]:
        verb = words.pop()
        words.pop()
        return verb, class_of(verb)
    if identifier := rest.asked.value("actionId"):
        verb = printable(identifier.rpartition(".")[2])
        return verb, class_of(verb)
    return BY_METHOD[rest.method]


def _deployment(rest: RestTransaction, target: Target) -> tuple[Target, ...]:
    asked = rest.asked.value("deploymentName")
    answered = rest.answered.at("item") or rest.answered
    made = answered.value("deploymentId")
    if (asked or made) and made != target.id:
        return (Target("Deployment", printable(made), printable(asked)),)
    return ()
