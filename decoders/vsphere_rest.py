"""The vSphere Automation API: /api and /rest of a vCenter -> sessions and actions.

POST /api/session answers with the token as a JSON string, /rest/com/vmware/cis/session as
{"value": token}; calls carry it in the header or the cookie vmware-api-session-id.
"""

from decoders import jsontree
from decoders.element import Element
from decoders.http import Headers, basic_user, parameter, path_of, query_of, scheme
from decoders.message import (
    Login,
    LoginMethod,
    Logout,
    Message,
    Rule,
    SessionSeen,
    Transaction,
    Want,
)
from decoders.rest import RestTransaction
from decoders.rest_api import RestApi
from decoders.rest_calls import CHANGING
from decoders.saml import Principal, sign_principal
from decoders.vcloud_sessions import is_marked
from decoders.vsphere_rest_actions import API, action

SESSION = "vmware-api-session-id"
_SESSION_PATHS = ("/api/session", "/rest/com/vmware/cis/session")
# First segments of /api and of /rest that are a vCenter's; `com` begins the long form of /rest.
_SEGMENTS = frozenset(
    ["appliance", "cis", "com", "content", "esx", "hvc", "stats", "vapi", "vcenter", "vstats"]
)
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY


class VsphereRest(RestApi):
    name = "vsphere-rest"
    headers = cookies = (SESSION,)

    def rules(self) -> list[Rule]:
        paths = ("/rest/*", "/api/session", *(f"/api/{each}/*" for each in sorted(_SEGMENTS)))
        once = Want.RESPONSE_BODY | Want.CHANGED_ONLY
        return [
            *(Rule(_BOTH, method=method, path=path) for path in paths for method in CHANGING),
            *(Rule(once, method="GET", path=path) for path in _SESSION_PATHS),
            *(Rule(Want.FAILED_ONLY, method="GET", path=path) for path in paths),
        ]

    def claims(self, transaction: Transaction) -> bool:
        path = path_of(transaction.target)
        if path in _SESSION_PATHS:  # Cloud Director has /api/session too
            return not is_marked(transaction)
        segments = path.split("/")
        return len(segments) > 2 and segments[1] in ("api", "rest") and segments[2] in _SEGMENTS

    def secret(self, request: Headers, path: str, asked: Element) -> str:
        del path, asked
        return request.first(SESSION) or request.cookie(SESSION)

    def tree(self, headers: Headers, body: bytes) -> Element:
        del headers
        return jsontree.parse(body)

    def result(self, answered: Element) -> Element:
        return answered.at("value") or answered

    def fault(self, answered: Element, status: int) -> str:
        """error_type of /api, the last word of type of /rest: both in the spelling of /api."""
        stated = answered.value("error_type") or answered.value("type").rpartition(".")[2].upper()
        return stated or super().fault(answered, status)

    def session(self, rest: RestTransaction) -> list[Message] | None:
        if rest.path not in _SESSION_PATHS:
            return None
        if rest.method == "GET" or query_of(rest.transaction.target).get("~action") == "get":
            user = rest.answered.value("user")
            return [SessionSeen(**rest.seen, user=user)] if user else None
        return [_login(rest)] if rest.method == "POST" else None

    def action(self, rest: RestTransaction) -> list[Message]:
        if rest.path not in _SESSION_PATHS:
            return action(rest)
        return [_logout(rest)] if rest.method == "DELETE" else []


def _logout(rest: RestTransaction) -> Logout:
    return Logout(
        **rest.seen,
        api=API,
        operation=f"DELETE {rest.path}",
        outcome=rest.outcome,
        fault=rest.fault,
    )


def _login(rest: RestTransaction) -> Login:
    method, claimed, holder = LoginMethod.TOKEN, "", Principal()
    authorization = rest.request.first("authorization")
    if scheme(authorization) == "basic":
        method, claimed = LoginMethod.BASIC, basic_user(authorization)
    elif scheme(authorization) == "sign":
        holder = sign_principal(parameter(authorization, "token"))
        method, claimed = LoginMethod.SAML, holder.subject
    found = [rest.answered.text.strip(), *rest.response.all(SESSION)]
    found += rest.response.set_cookies(SESSION)
    return Login(
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
