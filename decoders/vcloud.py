"""Cloud Director: /api (XML or JSON), /cloudapi and /oauth -> logins, actions, tasks, inventory.

The token of a session stands in one of three headers or a cookie; the login's response sets several
of them at once.
"""

from decoders.http import Headers, bearer_token, path_of
from decoders.message import (
    Hasher,
    Message,
    ObjectSeen,
    Outcome,
    Rule,
    SessionExpired,
    SessionSeen,
    TaskChanged,
    Transaction,
    TransactionFlag,
    Want,
)
from decoders.rest import RestTransaction, token_seen
from decoders.seen import outcome_of, seen_of
from decoders.vcloud_actions import action
from decoders.vcloud_bodies import body_of, get, machines, object_at, tasks
from decoders.vcloud_sessions import (
    TOKEN_COOKIES,
    TOKEN_HEADERS,
    grant,
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
_CHANGING = ("POST", "PUT", "DELETE", "PATCH")
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_RESPONSE_ONCE = Want.RESPONSE_BODY | Want.CHANGED_ONLY
_ENDED = tuple(
    sign + word + sign[-1]
    for word in ("success", "error", "aborted", "canceled")
    for sign in ('="', "='", ':"', ': "')
)


class Vcloud:
    """Needs a `hasher` for every token and ticket. Keeps nothing between transactions."""

    name = "vcloud"

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher

    def token_headers(self) -> list[str]:
        return [*TOKEN_HEADERS, "authorization"]

    def token_cookies(self) -> list[str]:
        return list(TOKEN_COOKIES)

    def object_properties(self) -> list[str]:
        return []

    def rules(self) -> list[Rule]:
        changing = [
            Rule(_BOTH, method=method, path=path)
            for path in ("/api/*", "/cloudapi/*")
            for method in _CHANGING
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

    def transaction(self, transaction: Transaction) -> list[Message]:
        vcd = self._read(transaction)
        messages = [*_user_of_token(vcd), *_meaning(vcd)]
        if transaction.status == 401 and vcd.seen["token"] and not is_login(vcd):
            messages.append(SessionExpired(**vcd.seen))
        return messages or token_seen(vcd)

    def _read(self, transaction: Transaction) -> RestTransaction:
        request, response = Headers(transaction.request_head), Headers(transaction.response_head)
        outcome, path = outcome_of(transaction), path_of(transaction.target)
        body = body_of(response, transaction.response_body)
        asked = body_of(request, transaction.request_body)
        secret = _token(request) or (
            grant(asked, transaction.target) if path.startswith("/oauth/") else ""
        )
        token = self._hasher(secret) if secret else ""
        operation_id = request.text("x-vmware-vcloud-client-request-id")
        fault = get(body, "minorErrorCode") or f"HTTP {transaction.status}"
        return RestTransaction(
            transaction=transaction,
            method=transaction.method,
            path=path,
            request=request,
            response=response,
            asked=asked,
            answered=body,
            outcome=outcome,
            fault=fault if outcome is Outcome.FAILURE else "",
            seen=seen_of(transaction, request, token, operation_id),
            hasher=self._hasher,
        )


def _token(request: Headers) -> str:
    bearer = bearer_token(request.first("authorization"))
    headers = (request.first(name) for name in TOKEN_HEADERS)
    cookies = (request.cookie(name) for name in TOKEN_COOKIES)
    return bearer or next((value for value in (*headers, *cookies) if value), "")


def _meaning(vcd: RestTransaction) -> list[Message]:
    if is_login(vcd):
        return login(vcd)
    if is_logout(vcd):
        return logout(vcd)
    if vcd.method in _CHANGING:
        return [*action(vcd), *_tasks_changed(vcd), *_objects_seen(vcd)]
    if vcd.method != "GET" or not vcd.succeeded:
        return []
    if is_session_read(vcd):
        user, identifier = session_user(vcd.answered), get(vcd.answered, "id")
        return [SessionSeen(**vcd.seen, user=user, session=vcd.hash(identifier))] if user else []
    return [*_tasks_changed(vcd), *_objects_seen(vcd)]


def _user_of_token(vcd: RestTransaction) -> list[Message]:
    """An access token that is new on its flow says whose it is, where the server takes it."""
    new = vcd.transaction.flags & TransactionFlag.NEW_TOKEN
    if not new or not vcd.succeeded or vcd.path.startswith("/oauth/"):
        return []
    user = jwt_user(_token(vcd.request))
    return [SessionSeen(**vcd.seen, user=user)] if user else []


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
