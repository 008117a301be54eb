"""Proxmox VE: /api2/json (and extjs) at port 8006, tickets by password, API tokens by header.

Facts: Proxmox VE API viewer. A ticket is the cookie PVEAuthCookie and names its user in clear,
`PVE:root@pam:5F3C...::signature`, so every request with one says who sends it; an API token names
user and token in the header, before its secret.
"""

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
    Outcome,
    Rule,
    SessionSeen,
    Target,
    TaskChanged,
    TicketIssued,
    Transaction,
    TransactionFlag,
    Want,
)
from decoders.rest import RestTransaction
from decoders.rest_api import RestApi
from decoders.rest_calls import BY_METHOD, CHANGING, class_of

API = "proxmox"
COOKIE = "PVEAuthCookie"
_TOKEN_SCHEME = "pveapitoken"
_PREFIXES = ("/api2/json", "/api2/extjs")
_TICKET = "access/ticket"
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY
_TASK_PATH = "/api2/*/nodes/*/tasks/*/status"
_ENDED = ('"exitstatus"',)
_FACTOR = "NeedTFA"  # a ticket that only buys the second factor's turn
_GUESTS = {"qemu": "VirtualMachine", "lxc": "Container"}
_CONSOLES = ("vncproxy", "termproxy", "spiceproxy", "vncshell", "termshell", "spiceshell")
# Words whose POST makes one more of them; another last word of a POST is a verb.
_WORDS = """
    qemu lxc storage users groups roles pools domains network backup ha resources rules aliases
    ipset replication firewall jobs vzdump token content
"""
_COLLECTIONS = frozenset(_WORDS.split())
_DISK = ("move_disk", "move_volume", "resize", "unlink", "import", "upload", "download-url")
_CREATING = ("snapshot", "clone")


class Proxmox(RestApi):
    name = API
    headers = ("authorization",)
    cookies = (COOKIE,)

    def rules(self) -> list[Rule]:
        return [
            Rule(Want.RESPONSE_BODY, method="GET", path=_TASK_PATH, response_has=_ENDED),
            *(
                Rule(_BOTH, method=method, path=f"{prefix}/*")
                for prefix in _PREFIXES
                for method in CHANGING
            ),
        ]

    def claims(self, transaction: Transaction) -> bool:
        return path_of(transaction.target).startswith(_PREFIXES)

    def secret(self, request: Headers, path: str, asked: Element) -> str:
        del path, asked
        return _api_token(request) or unquote(request.cookie(COOKIE))

    def fault(self, answered: Element, status: int) -> str:
        return printable(answered.value("message")) or f"HTTP {status}"

    def refused(self, answered: Element) -> bool:
        """/api2/extjs says 200 to everything, and in the body how it went."""
        return answered.value("success") == "0"

    def session(self, rest: RestTransaction) -> list[Message] | None:
        if _below(rest.path) == _TICKET and rest.method == "POST":
            needs_factor = rest.answered.value("data", _FACTOR) not in ("", "0")
            return [] if needs_factor and rest.succeeded else [_login(rest)]
        if _below(rest.path) == _TICKET and rest.method == "DELETE":
            return [_logout(rest)]
        return None

    def look(self, rest: RestTransaction) -> list[Message]:
        """Whose a new token is, and a task that has ended."""
        messages: list[Message] = []
        user = _named_by_token(rest.request)
        if user and rest.succeeded and rest.transaction.flags & TransactionFlag.NEW_TOKEN:
            messages.append(SessionSeen(**rest.seen, user=user))
        ended = rest.answered.value("data", "exitstatus")
        if ended and rest.succeeded and "/tasks/" in rest.path:
            task = printable(unquote(_below(rest.path).split("/")[3]))
            done = ended == "OK" or ended.startswith("WARNINGS")
            outcome = Outcome.SUCCESS if done else Outcome.FAILURE
            fault = "" if done else printable(ended)
            messages.append(TaskChanged(**rest.seen, task=task, outcome=outcome, fault=fault))
        return messages

    def action(self, rest: RestTransaction) -> list[Message]:
        """The call, after whose token it carries; a console's ticket after it."""
        words, target = _words(_below(rest.path).split("/"))
        if not words:
            return []
        kind = _class(rest, words)
        verb, words = _verb(rest, words)
        call = Call(
            **rest.seen,
            api=API,
            operation=printable(".".join([*words, verb])),
            operation_class=kind,
            target=target,
            related=_related(rest, target),
            outcome=rest.outcome,
            fault=rest.fault,
            task=_task(rest),
            user=_named_by_token(rest.request),
        )
        secret = rest.answered.value("data", "ticket")
        if kind is not OperationClass.CONSOLE or not secret or not rest.succeeded:
            return [call]
        ticket = rest.hash(secret)
        return [call, TicketIssued(**rest.seen, kind="console", ticket=ticket, target=target)]


def _below(path: str) -> str:
    """The path below /api2/json."""
    return "/".join(path.split("/")[3:])


def _api_token(request: Headers) -> str:
    """`USER@REALM!NAME=SECRET` of `Authorization: PVEAPIToken=...`, or ""."""
    kind, _, token = request.first("authorization").partition("=")
    return token.strip() if kind.strip().lower() == _TOKEN_SCHEME else ""


def _named_by_token(request: Headers) -> str:
    """The user; of an API token also its name, which is what can be revoked."""
    if token := _api_token(request):
        name = token.partition("=")[0]
        return printable(name) if "!" in name else ""
    return _user_of_ticket(unquote(request.cookie(COOKIE)))


def _user_of_ticket(ticket: str) -> str:
    kind, _, rest = ticket.partition(":")
    user = rest.partition(":")[0]
    return printable(user) if kind == "PVE" and "@" in user else ""


def _login(rest: RestTransaction) -> Login:
    name, realm = rest.asked.value("username"), rest.asked.value("realm")
    claimed = printable(f"{name}@{realm}" if realm and "@" not in name else name)
    data = rest.answered.at("data")
    ticket = data.value("ticket")
    by_ticket = rest.asked.value("password").startswith("PVE:")  # how a ticket is renewed
    return Login(
        **rest.seen,
        api=API,
        operation=f"POST /{_TICKET}",
        method=LoginMethod.TOKEN if by_ticket else LoginMethod.PASSWORD,
        outcome=rest.outcome,
        fault=rest.fault,
        user=printable(data.value("username")) or claimed,
        claimed=claimed,
        new_tokens=rest.hashes([ticket]) if rest.succeeded else (),
    )


def _logout(rest: RestTransaction) -> Logout:
    return Logout(
        **rest.seen,
        api=API,
        operation=f"DELETE /{_TICKET}",
        outcome=rest.outcome,
        fault=rest.fault,
    )


def _words(segments: list[str]) -> tuple[list[str], Target]:
    """Words without node names and ids, and the guest, storage or node that they name."""
    words: list[str] = []
    target = Target()
    at = 0
    while at < len(segments):
        word = segments[at]
        following = unquote(segments[at + 1]) if at + 1 < len(segments) else ""
        words.append(word)
        if word == "nodes" and following:
            target = Target("Node", printable(following))
            at += 1
        elif (word in _GUESTS and following.isdigit()) or (word == "storage" and following):
            target = Target(_GUESTS.get(word, "Storage"), printable(following))
            at += 1
        elif word in ("snapshot", "users", "groups", "roles", "token", "content") and following:
            target = (
                target if target.type in _GUESTS.values() else Target(word, printable(following))
            )
            at += 1
        at += 1
    return words, target


def _verb(rest: RestTransaction, words: list[str]) -> tuple[str, list[str]]:
    """The last word of a POST, unless it is a collection; of a node's status the command."""
    if words == ["nodes", "status"]:
        return rest.asked.value("command"), words
    if rest.method == "POST" and words[-1] not in _COLLECTIONS:
        return words[-1], words[:-1]
    return BY_METHOD[rest.method][0], words


def _class(rest: RestTransaction, words: list[str]) -> OperationClass:
    last = words[-1]
    if last in _CONSOLES:
        return OperationClass.CONSOLE
    if "agent" in words:
        return OperationClass.GUEST
    if "status" in words and rest.method == "POST":
        return OperationClass.POWER
    if "snapshot" in words and last == "rollback":
        return OperationClass.UPDATE
    if last in _DISK:
        return OperationClass.DISK
    if rest.method == "POST" and last not in _COLLECTIONS and last not in _CREATING:
        return class_of(last)
    return BY_METHOD[rest.method][1]


def _related(rest: RestTransaction, target: Target) -> tuple[Target, ...]:
    identity = rest.asked.value("newid") or rest.asked.value("vmid")
    name = rest.asked.value("name") or rest.asked.value("hostname") or rest.asked.value("snapname")
    if (not identity and not name) or identity == target.id:
        return ()
    return (Target("VirtualMachine" if identity else "", printable(identity), printable(name)),)


def _task(rest: RestTransaction) -> str:
    """`UPID:node:pid:...:user@realm:`, which GET .../tasks/UPID/status asks about."""
    text = rest.answered.value("data")
    return printable(text) if text.startswith("UPID:") else ""
