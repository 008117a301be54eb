"""Nutanix Prism: REST v2.0 (/PrismGateway/services/rest, /api/nutanix/v2.0), v3 and v4 (/api/*/v4).

Basic credentials come with every request, or once for the cookie JSESSIONID; v3 has
/api/nutanix/v3/users/me for clients that look who they are.
"""

import re
from itertools import dropwhile

from decoders.element import Element
from decoders.http import Headers, basic_user, path_of, printable
from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Message,
    OperationClass,
    Outcome,
    Rule,
    SessionSeen,
    TaskChanged,
    Transaction,
    Want,
)
from decoders.rest import RestTransaction
from decoders.rest_api import RestApi
from decoders.rest_calls import BY_METHOD, CHANGING, class_of, named, object_of, words_of

API = "prism"
COOKIES = ("JSESSIONID", "NTNX_IGW_SESSION", "NTNX_IAM_SESSION")
API_KEY = "x-ntnx-api-key"
_PREFIXES = ("/api/nutanix/", "/PrismGateway/services/rest/")
_V4 = re.compile(r"/api/[a-z-]+/v4\.\d+(\.[ab]\d+)?/")
_LOGINS = ("/api/nutanix/v3/users/me", "/PrismGateway/services/rest/v1/users/session_info")
_FORM_LOGIN = "/PrismGateway/j_spring_security_check"
_VERSION = re.compile(r"v\d+(\.\d+)?(\.[ab]\d+)?")
_READING = ("list", "groups", "stats", "query", "search", "validate")
_NAMESPACES = ("config", "content", "ahv", "esxi", "operations", "management")
_ENDED = {
    "SUCCEEDED": Outcome.SUCCESS,
    "FAILED": Outcome.FAILURE,
    "ABORTED": Outcome.FAILURE,
    "CANCELED": Outcome.FAILURE,
}
_SAID = tuple(text for word in _ENDED for text in (f'"{word}"', f'"{word.capitalize()}"'))
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_TYPES = {
    "vms": "VirtualMachine",
    "images": "Image",
    "hosts": "Host",
    "clusters": "Cluster",
    "snapshots": "Snapshot",
    "subnets": "Network",
    "networks": "Network",
    "storage_containers": "StorageContainer",
    "volume_groups": "VolumeGroup",
}
_COLLECTIONS = frozenset((*_TYPES, "disks", "nics", "cd-roms", "gpus", "serial-ports", "users"))


class Prism(RestApi):
    name = API
    headers = ("authorization", API_KEY)
    cookies = COOKIES
    request_id = "ntnx-request-id"

    def rules(self) -> list[Rule]:
        paths = (*(f"{prefix}*" for prefix in _PREFIXES), "/api/*/v4.*")
        return [
            Rule(_BOTH, method="POST", path=_FORM_LOGIN),
            *(Rule(_BOTH, method="GET", path=path) for path in _LOGINS),
            *(Rule(_BOTH, method=method, path=path) for path in paths for method in CHANGING),
            *(
                Rule(Want.RESPONSE_BODY, method="GET", path=f"{path}/tasks/*", response_has=_SAID)
                for path in (*(f"{prefix}*" for prefix in _PREFIXES), "/api/prism/v4.*")
            ),
        ]

    def claims(self, transaction: Transaction) -> bool:
        path = path_of(transaction.target)
        return path.startswith((*_PREFIXES, _FORM_LOGIN)) or _V4.match(path) is not None

    def secret(self, request: Headers, path: str, asked: Element) -> str:
        del path, asked
        cookies = (request.cookie(name) for name in COOKIES)
        return next(filter(None, cookies), "") or request.first(API_KEY)

    def fault(self, answered: Element, status: int) -> str:
        said = (
            answered.value("message_list", "reason")
            or answered.value("data", "error", "code")
            or answered.value("error_code", "code")
            or answered.value("errorCode", "code")
        )
        return printable(said) or f"HTTP {status}"

    def session(self, rest: RestTransaction) -> list[Message] | None:
        """Credentials that buy a cookie; of one that has it, whose it is."""
        claimed = rest.asked.value("j_username")
        claimed = printable(claimed or basic_user(rest.request.first("authorization")))
        set_now = [value for name in COOKIES for value in rest.response.set_cookies(name)]
        new = rest.hashes(set_now) if rest.succeeded else ()
        is_login = rest.path == _FORM_LOGIN or (rest.path in _LOGINS and claimed)
        if is_login or (claimed and new):
            login = Login(
                **rest.seen,
                api=API,
                operation=f"{rest.method} {rest.path}",
                method=LoginMethod.PASSWORD if rest.path == _FORM_LOGIN else LoginMethod.BASIC,
                outcome=rest.outcome,
                fault=rest.fault,
                user=claimed,
                claimed=claimed,
                new_tokens=new,
            )
            return [login, *(self.action(rest) if rest.method in CHANGING and not is_login else [])]
        if rest.path in _LOGINS:
            user = printable(rest.answered.value("status", "name"))
            return [SessionSeen(**rest.seen, user=user)] if user and rest.seen["token"] else []
        return None

    def look(self, rest: RestTransaction) -> list[Message]:
        """A task that has ended: status of v3 and v4, progress_status of v2."""
        words = _resources(rest.segments)
        answered = rest.answered.at("data") or rest.answered
        said = answered.value("status") or answered.value("progress_status")
        outcome = _ENDED.get(said.upper())
        if words[:1] != ["tasks"] or len(words) != 2 or outcome is None:
            return []
        fault = printable(said) if outcome is Outcome.FAILURE else ""
        task = printable(words[1])
        return [TaskChanged(**rest.seen, task=task, outcome=outcome, fault=fault)]

    def action(self, rest: RestTransaction) -> list[Message]:
        segments = _resources(rest.segments)
        words = words_of(segments)
        if not words or words[-1] in _READING:
            return []
        verb, kind = _verb(rest, words)
        label = _TYPES.get(words[-1] if words else "", "")
        asked = rest.asked.at("spec") or rest.asked
        made = rest.answered.value("metadata", "uuid")
        target = object_of(segments, _TYPES)
        is_new = kind is OperationClass.CREATE and made and made != target.id
        return [
            Call(
                **rest.seen,
                api=API,
                operation=printable(".".join([*words, verb])),
                operation_class=kind,
                target=target,
                related=named(asked, label, made if is_new else ""),
                outcome=rest.outcome,
                fault=rest.fault,
                task=printable(_task(rest.answered)),
                user=basic_user(rest.request.first("authorization")),
            )
        ]


def _resources(segments: list[str]) -> list[str]:
    """What stands after the version; of v4 also after its namespaces: ahv/config."""
    for at, segment in enumerate(segments):
        if _VERSION.fullmatch(segment):
            return list(dropwhile(_NAMESPACES.__contains__, segments[at + 1 :]))
    return []


def _verb(rest: RestTransaction, words: list[str]) -> tuple[str, OperationClass]:
    """`$actions/power-on` of v4, `set_power_state` of v2 with its transition, else the method."""
    if "$actions" in words:
        at = words.index("$actions")
        verb = words[at + 1] if at + 1 < len(words) else "action"
        del words[at:]
        return verb, class_of(verb)
    if words[-2:-1] == ["power_op"]:  # v1
        verb = f"power_{words.pop()}"
        words.pop()
        return verb, OperationClass.POWER
    if words[-1] == "set_power_state":
        words.pop()
        transition = rest.asked.value("transition")
        return printable(f"power_{transition}".lower()), OperationClass.POWER
    if rest.method == "POST" and len(words) > 1 and words[-1] not in _COLLECTIONS:
        verb = words.pop()
        return verb, class_of(verb)
    return BY_METHOD[rest.method]


def _task(answered: Element) -> str:
    execution = answered.at("status", "execution_context")
    v4 = answered.at("data")
    reference = v4.value("extId") if "Task" in v4.value("$objectType") else ""
    return answered.value("task_uuid") or execution.value("task_uuid") or reference
