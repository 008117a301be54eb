"""Cloud Director: /api (XML or JSON), /cloudapi and /oauth -> logins, actions, tasks, inventory.

The token of a session stands in one of three headers or a cookie; the login's response sets several
of them at once.
"""

from decoders.element import Element
from decoders.http import Headers, bearer_token, path_of
from decoders.message import (
    Message,
    ObjectSeen,
    Outcome,
    Rule,
    SessionSeen,
    TaskChanged,
    Transaction,
    TransactionFlag,
    Want,
)
from decoders.rest import RestTransaction
from decoders.rest_api import RestApi
from decoders.rest_calls import CHANGING
from decoders.vcloud_actions import action
from decoders.vcloud_bodies import body_of, get, machines, object_at, tasks
from decoders.vcloud_sessions import (
    TOKEN_COOKIES,
    TOKEN_HEADERS,
    grant,
    granted_in_query,
    is_login,
    is_logout,
    is_marked,
    is_session_read,
    jwt_user,
    login,
    logout,
    session_user,
)

# First segments of /api that are Cloud Director's own. Others' REST APIs live under /api too.
_WORDS = """
    admin catalog catalogItem cloud disk edgeGateway entity extension login media network nonpaas
    org query server service sessions supportedSystemsInfo task tasksList vApp vAppTemplate vdc
    versions
"""
_SEGMENTS = frozenset(_WORDS.split())
_OAUTH = ("token", "register")
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_RESPONSE_ONCE = Want.RESPONSE_BODY | Want.CHANGED_ONLY
_ENDED = tuple(
    sign + word + sign[-1]
    for word in ("success", "error", "aborted", "canceled")
    for sign in ('="', "='", ':"', ': "')
)


class Vcloud(RestApi):
    name = "vcloud"
    headers = (*TOKEN_HEADERS, "authorization")
    cookies = TOKEN_COOKIES
    request_id = "x-vmware-vcloud-client-request-id"

    def rules(self) -> list[Rule]:
        changing = [
            Rule(_BOTH, method=method, path=path)
            for path in ("/api/*", "/cloudapi/*")
            for method in CHANGING
        ]
        reads = [
            Rule(_RESPONSE_ONCE, method="GET", path="/api/session"),
            Rule(_RESPONSE_ONCE, method="GET", path="/cloudapi/*/sessions/*"),
            Rule(Want.RESPONSE_BODY, method="GET", path="/api/task/*", response_has=_ENDED),
            Rule(Want.RESPONSE_BODY, method="GET", path="/api/tasksList/*", response_has=_ENDED),
            Rule(
                _RESPONSE_ONCE,
                method="GET",
                path="/api/vApp/*",
                response_has=("Children>", '"children"', "VAppParent", "vAppParent"),
            ),
            Rule(
                _RESPONSE_ONCE,
                method="GET",
                path="/api/query",
                response_has=("VMRecord", "VAppRecord", "TaskRecord"),
            ),
        ]
        expired = [
            Rule(Want.FAILED_ONLY, method="GET", path=path) for path in ("/api/*", "/cloudapi/*")
        ]
        oauth = [Rule(_BOTH, method="POST", path=f"/oauth/*/{last}") for last in _OAUTH]
        return [*changing, *oauth, *reads, *expired]

    def claims(self, transaction: Transaction) -> bool:
        path = path_of(transaction.target)
        if path.startswith("/cloudapi/"):
            return True
        if not path.startswith(("/api/", "/oauth/")):
            return False
        if path.startswith("/api/") and path.split("/")[2] in _SEGMENTS:
            return True
        return path.startswith("/oauth/") or is_marked(transaction)

    def asked(self, request: Headers, transaction: Transaction) -> Element:
        asked = super().asked(request, transaction)
        if path_of(transaction.target).startswith("/oauth/"):
            asked.children = [*asked.children, *granted_in_query(transaction.target)]
        return asked

    def secret(self, request: Headers, path: str, asked: Element) -> str:
        return _token(request) or (grant(asked) if path.startswith("/oauth/") else "")

    def tree(self, headers: Headers, body: bytes) -> Element:
        return body_of(headers, body)

    def fault(self, answered: Element, status: int) -> str:
        return get(answered, "minorErrorCode") or super().fault(answered, status)

    def session(self, rest: RestTransaction) -> list[Message] | None:
        return [*_user_of_token(rest), *login(rest)] if is_login(rest) else None

    def action(self, rest: RestTransaction) -> list[Message]:
        if is_logout(rest):
            return [*_user_of_token(rest), *logout(rest)]
        return [*_user_of_token(rest), *action(rest), *_seen(rest)]

    def look(self, rest: RestTransaction) -> list[Message]:
        told = _user_of_token(rest)
        if rest.method != "GET" or not rest.succeeded:
            return told
        if not is_session_read(rest):
            return [*told, *_seen(rest)]
        user, identifier = session_user(rest.answered), get(rest.answered, "id")
        if user:
            told.append(SessionSeen(**rest.seen, user=user, session=rest.hash(identifier)))
        return told


def _token(request: Headers) -> str:
    bearer = bearer_token(request.first("authorization"))
    headers = (request.first(name) for name in TOKEN_HEADERS)
    cookies = (request.cookie(name) for name in TOKEN_COOKIES)
    return bearer or next((value for value in (*headers, *cookies) if value), "")


def _user_of_token(vcd: RestTransaction) -> list[Message]:
    """An access token that is new on its flow says whose it is, where the server takes it."""
    new = vcd.transaction.flags & TransactionFlag.NEW_TOKEN
    if not new or not vcd.succeeded or vcd.path.startswith("/oauth/"):
        return []
    user = jwt_user(_token(vcd.request))
    return [SessionSeen(**vcd.seen, user=user)] if user else []


def _seen(vcd: RestTransaction) -> list[Message]:
    return [*_tasks_changed(vcd), *_objects_seen(vcd)]


def _tasks_changed(vcd: RestTransaction) -> list[Message]:
    polled = object_at(vcd.path)
    return [
        TaskChanged(
            **vcd.seen,
            task=task.id,
            outcome=task.outcome,
            fault=task.fault,
            operation=task.operation,
            entity=task.owner,
            user=task.user,
            lower_tasks=task.lower_tasks,
        )
        for task in tasks(vcd.answered, polled.id if polled.type == "Task" else "")
        if task.id and task.outcome is not Outcome.UNKNOWN
    ]


def _objects_seen(vcd: RestTransaction) -> list[Message]:
    return [
        ObjectSeen(**vcd.seen, target=target, container=holder)
        for target, holder in machines(vcd.answered)
        if target.id
    ]
