"""The vSphere Web Services API: which transactions to ask for, how to read one, and who tells what
it means.

SOAP on /sdk (and the sisters that share its session: /pbm, /vslm/sdk, /vsanHealth, ...), and its
JSON twin. Clients differ in prefixes, attributes and cookies, never in local names; so nothing
here looks at a prefix.
"""

from collections.abc import Callable

from decoders import vim25_files, vim25_json
from decoders.api import Api
from decoders.element import Element
from decoders.http import Headers, path_of
from decoders.message import (
    Message,
    Outcome,
    Rule,
    SessionExpired,
    SessionSeen,
    Transaction,
    TransactionFlag,
    Want,
)
from decoders.seen import outcome_of, seen_of
from decoders.soap import SoapTransaction, envelope, fault_name
from decoders.vim25_actions import EXECUTE_SOAP, action
from decoders.vim25_files import LEASE
from decoders.vim25_guest import GUEST_OPERATIONS, guest_call
from decoders.vim25_inventory import IDENTITY_PROPERTIES, objects_seen, server_seen
from decoders.vim25_objects import objects_of, session_key
from decoders.vim25_operations import LISTED, VERBS
from decoders.vim25_sessions import COOKIE, HEADER, SESSION_OPERATIONS, sessions_seen
from decoders.vim25_tasks import task_changes

_PATHS = ("/sdk", "/vpxa", "/pbm", "/vslm", "/vsan", "/sms", "/eam", "/nfc")
_NAMESPACES = (b"urn:vim25", b"urn:internalvim25", b"urn:vpxa3", b"urn:nfc", b"urn:vsan")
_LOGGED_OUT = "NotAuthenticated"
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY

_ENDED = (">success<", ">error<")  # a task's state, as `info` or as `info.state`
_OBJECT_READS = ("Fetch", "RetrieveProperties", "RetrievePropertiesEx")
_FOLLOWING_READS = (
    "ContinueRetrievePropertiesEx",
    "WaitForUpdatesEx",
    "WaitForUpdates",
    "CheckForUpdates",
)
_LISTS = ("ReadNextTasks", "ReadPreviousTasks")
_SESSION_READS = (">currentSession<", ">sessionList<")
_INVENTORY_READS = (
    ">name<",
    ">config.name<",
    ">config.uuid<",
    ">config.instanceUuid<",
    ">summary.config",  # with .name, .uuid, .instanceUuid, .vmPathName
    ">config<",  # `summary` whole is left out: its statistics change in every poll
    ">parentVApp<",
    ">all>true<",
)
_LEASE_URL = "deviceUrl"
_OBJECTS_OF_SESSION = ("CreatePropertyCollector", "CreateContainerView", "CreateListView")


class Vim25(Api):
    name = "vim25"
    headers = (HEADER,)
    cookies = (COOKIE,)
    properties = IDENTITY_PROPERTIES

    def rules(self) -> list[Rule]:
        return [
            *_session_rules(),
            *_read_rules(),
            *_action_rules(),
            *_json_rules(),
            *vim25_files.rules(),
        ]

    def claims(self, transaction: Transaction) -> bool:
        if vim25_files.is_access(transaction):
            return True
        if transaction.method not in ("POST", "GET"):
            return False
        if path_of(transaction.target).startswith(_PATHS):
            return True
        head = transaction.request_head
        return bool(transaction.operation) and any(name in head for name in _NAMESPACES)

    def transaction(self, transaction: Transaction) -> list[Message]:
        if vim25_files.is_access(transaction):
            secret = Headers(transaction.request_head).cookie(COOKIE)
            token = self._hasher(secret) if secret else ""
            return vim25_files.access(transaction, token, self._hasher)
        soap = self._read(transaction)
        messages = _meaning(soap)
        if soap.fault == _LOGGED_OUT and soap.seen["token"]:
            messages.append(SessionExpired(**soap.seen))
        return messages or _tied(soap)

    def _read(self, transaction: Transaction) -> SoapTransaction:
        request, response = Headers(transaction.request_head), Headers(transaction.response_head)
        if vim25_json.is_json_call(transaction):
            header = Element()
            arguments, result, fault = vim25_json.read(transaction)
        else:
            header, arguments = envelope(transaction.request_body)
            _, result = envelope(transaction.response_body)
            fault, result = (result, Element()) if result.name == "Fault" else (Element(), result)
        outcome = Outcome.FAILURE if fault else outcome_of(transaction)
        said = fault_name(fault)
        if outcome is Outcome.FAILURE and not said:
            said = f"HTTP {transaction.status}"
        operation_id = header.value("operationID") or transaction.operation_id
        # The sisters set a cookie of their own beside it, which is nobody's.
        secret = _session_cookie(header) or request.cookie(COOKIE) or request.first(HEADER)
        token = self._hasher(secret) if secret else ""
        return SoapTransaction(
            transaction=transaction,
            request=request,
            response=response,
            header=header,
            arguments=arguments,
            result=result,
            outcome=outcome,
            fault=said,
            operation=arguments.name or transaction.operation,
            seen=seen_of(transaction, request, token, operation_id),
            hasher=self._hasher,
        )


def _session_cookie(header: Element) -> str:
    """How pbm, vslm and sms are given the session: an entry of the SOAP header."""
    return header.value("vcSessionCookie").strip('"')


def _meaning(soap: SoapTransaction) -> list[Message]:
    handler = _HANDLERS.get(soap.operation, action)
    return handler(soap)


def _read_of_properties(soap: SoapTransaction) -> list[Message]:
    if not soap.succeeded:
        return []
    objects = objects_of(soap)
    return [
        *task_changes(soap, objects),
        *sessions_seen(soap, objects),
        *objects_seen(soap, objects),
        *server_seen(soap, objects),
        *vim25_files.lease_tickets(soap, objects),
    ]


def _tied(soap: SoapTransaction) -> list[Message]:
    """Of one that says nothing else: its token, and the session whose objects it may use."""
    if not soap.seen["token"] or not soap.succeeded:
        return []
    identifiers = [soap.transaction.this_id, soap.result.value("returnval")]
    key = next((key for each in identifiers if (key := session_key(each))), "")
    if not key and not soap.transaction.flags & TransactionFlag.NEW_TOKEN:
        return []
    return [SessionSeen(**soap.seen, session=soap.hash(key))]


_HANDLERS: dict[str, Callable[[SoapTransaction], list[Message]]] = {
    **SESSION_OPERATIONS,
    **dict.fromkeys(GUEST_OPERATIONS, guest_call),
    **dict.fromkeys((*_OBJECT_READS, *_FOLLOWING_READS, *_LISTS), _read_of_properties),
    "RetrieveServiceContent": _read_of_properties,
}


def _session_rules() -> list[Rule]:
    rare = [name for name in SESSION_OPERATIONS if name not in ("SessionIsActive", "SetLocale")]
    rules = [Rule(_BOTH, operation=name) for name in rare]
    once = _BOTH | Want.CHANGED_ONLY
    rules.append(Rule(once, operation="SessionIsActive", response_has=(">true<",)))
    rules += [
        Rule(Want.RESPONSE_BODY, operation=name, response_has=("session[",))
        for name in _OBJECTS_OF_SESSION
    ]
    return rules


def _read_rules() -> list[Rule]:
    """A request that names what we look for, or a response that shows the end of a task."""
    rules = [Rule(Want.RESPONSE_BODY, operation="RetrieveServiceContent")]
    once = _BOTH | Want.CHANGED_ONLY
    news = _BOTH | Want.NEW_OBJECTS
    for name in _OBJECT_READS:
        rules += [
            Rule(_BOTH, operation=name, request_has=(">content<", *_SESSION_READS)),
            Rule(_BOTH, operation=name, request_has=("Task",), response_has=_ENDED),
            Rule(_BOTH, operation=name, request_has=(LEASE,), response_has=(_LEASE_URL,)),
            Rule(once if name == "Fetch" else news, operation=name, request_has=_INVENTORY_READS),
        ]
    shown = (*_ENDED, _LEASE_URL)
    for name in _FOLLOWING_READS:
        rules += [Rule(_BOTH, operation=name, response_has=shown), Rule(news, operation=name)]
    rules += [Rule(_BOTH, operation=name, response_has=_ENDED) for name in _LISTS]
    return rules


def _action_rules() -> list[Rule]:
    rules = [Rule(_BOTH, operation=name) for name in _action_names()]
    # The server no longer takes the token, whatever was asked.
    logged_out = Want.RESPONSE_BODY | Want.FAILED_ONLY
    return [*rules, Rule(logged_out, operation="*", response_has=(_LOGGED_OUT,))]


def _action_names() -> list[str]:
    """With stars where one serves for many."""
    exact = sorted({*LISTED, *GUEST_OPERATIONS, EXECUTE_SOAP})
    few = [name for name in exact if not name.startswith(("Nfc", *VERBS))]
    few = [name for name in few if not name.endswith(("_Task", "InGuest"))]
    return ["*_Task", "*InGuest", "Nfc*", *(f"{verb}*" for verb in VERBS), *few]


def _json_rules() -> list[Rule]:
    ended = ('"success"', '"error"')
    names = [*_action_names(), "SessionManager/*"]
    return [
        *(Rule(_BOTH, method="POST", path=f"/sdk/vim25/*/{name}") for name in names),
        Rule(_BOTH, method="POST", path="/sdk/vim25/*/PropertyCollector/*", response_has=ended),
        Rule(_BOTH, method="GET", path="/sdk/vim25/*/Task/*", response_has=ended),
    ]
