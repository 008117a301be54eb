"""The vSphere Automation API: /api and /rest of a vCenter -> sessions and actions.

POST /api/session answers with the token as a JSON string, /rest/com/vmware/cis/session as
{"value": token}; calls carry it in the header or the cookie vmware-api-session-id.
"""

from decoders import jsontree
from decoders.element import Element
from decoders.http import Headers, basic_user, parameter, path_of, query_of, scheme
from decoders.message import (
    Hasher,
    Login,
    LoginMethod,
    Logout,
    Message,
    Outcome,
    Rule,
    SessionExpired,
    SessionSeen,
    Transaction,
    Want,
)
from decoders.rest import RestTransaction, token_seen
from decoders.saml import Principal, sign_principal
from decoders.seen import outcome_of, seen_of
from decoders.vcloud_sessions import is_marked
from decoders.vsphere_rest_actions import API, action

SESSION = "vmware-api-session-id"
_SESSION_PATHS = ("/api/session", "/rest/com/vmware/cis/session")
# First segments of /api and of /rest that are a vCenter's; `com` begins the long form of /rest.
_SEGMENTS = frozenset(
    ["appliance", "cis", "com", "content", "esx", "hvc", "stats", "vapi", "vcenter", "vstats"]
)
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY


class VsphereRest:
    """Needs a `hasher` for every token and ticket. Keeps nothing between transactions."""

    name = "vsphere-rest"

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher

    def token_headers(self) -> list[str]:
        return [SESSION]

    def token_cookies(self) -> list[str]:
        return [SESSION]

    def object_properties(self) -> list[str]:
        return []

    def rules(self) -> list[Rule]:
        paths = ("/rest/*", "/api/session", *(f"/api/{each}/*" for each in sorted(_SEGMENTS)))
        once = Want.RESPONSE_BODY | Want.CHANGED_ONLY
        return [
            *(Rule(_BOTH, method=method, path=path) for path in paths for method in _CHANGING),
            *(Rule(once, method="GET", path=path) for path in _SESSION_PATHS),
            *(Rule(Want.FAILED_ONLY, method="GET", path=path) for path in paths),
        ]

    def claims(self, transaction: Transaction) -> bool:
        path = path_of(transaction.target)
        if path in _SESSION_PATHS:  # Cloud Director has /api/session too
            return not is_marked(transaction)
        segments = path.split("/")
        return len(segments) > 2 and segments[1] in ("api", "rest") and segments[2] in _SEGMENTS

    def transaction(self, transaction: Transaction) -> list[Message]:
        rest = self._read(transaction)
        messages = _meaning(rest)
        if transaction.status == 401 and rest.seen["token"]:
            messages.append(SessionExpired(**rest.seen))
        return messages or token_seen(rest)

    def _read(self, transaction: Transaction) -> RestTransaction:
        request, response = Headers(transaction.request_head), Headers(transaction.response_head)
        secret = request.first(SESSION) or request.cookie(SESSION)
        token = self._hasher(secret) if secret else ""
        answered = jsontree.parse(transaction.response_body)
        outcome = outcome_of(transaction)
        return RestTransaction(
            transaction=transaction,
            method=transaction.method,
            path=path_of(transaction.target),
            request=request,
            response=response,
            asked=jsontree.parse(transaction.request_body),
            answered=answered.at("value") or answered,
            outcome=outcome,
            fault=_fault(answered, transaction.status) if outcome is Outcome.FAILURE else "",
            seen=seen_of(transaction, request, token, request.text("x-request-id")),
            hasher=self._hasher,
        )


def _fault(answered: Element, status: int) -> str:
    """error_type of /api, the last word of type of /rest: both in the spelling of /api."""
    stated = answered.value("error_type") or answered.value("type").rpartition(".")[2].upper()
    return stated or f"HTTP {status}"


def _meaning(rest: RestTransaction) -> list[Message]:
    asks = rest.method == "GET" or query_of(rest.transaction.target).get("~action") == "get"
    if rest.path not in _SESSION_PATHS:
        return action(rest) if rest.method in _CHANGING else []
    if asks:
        user = rest.answered.value("user")
        return [SessionSeen(**rest.seen, user=user)] if user else []
    if rest.method == "DELETE":
        return [
            Logout(
                **rest.seen,
                api=API,
                operation=f"DELETE {rest.path}",
                outcome=rest.outcome,
                fault=rest.fault,
            )
        ]
    return _login(rest) if rest.method == "POST" else []


def _login(rest: RestTransaction) -> list[Message]:
    method, claimed, holder = LoginMethod.TOKEN, "", Principal()
    authorization = rest.request.first("authorization")
    if scheme(authorization) == "basic":
        method, claimed = LoginMethod.BASIC, basic_user(authorization)
    elif scheme(authorization) == "sign":
        holder = sign_principal(parameter(authorization, "token"))
        method, claimed = LoginMethod.SAML, holder.subject
    found = [rest.answered.text.strip(), *rest.response.all(SESSION)]
    found += rest.response.set_cookies(SESSION)
    return [
        Login(
            **rest.seen,
            api=API,
            operation=f"POST {rest.path}",
            method=method,
            outcome=rest.outcome,
            fault=rest.fault,
            user=claimed,
            claimed=claimed,
            new_tokens=rest.hashes(found) if rest.succeeded else (),
            delegates=holder.delegates,
            assertion=rest.hash(holder.identity),
            details=holder.details,
        )
    ]
