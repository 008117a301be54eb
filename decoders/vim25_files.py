"""HTTP access beside vim25: datastore and guest files, disks of an export or import, consoles.

The request carries a session's cookie, Basic credentials, or a ticket that a vim25 call issued: in
the cookie vmware_cgi_ticket, the query or the path. Its hash joins the two.
"""

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from decoders.element import Element
from decoders.http import Headers, basic_user, path_of, printable, query_of
from decoders.message import (
    Call,
    Hasher,
    Message,
    OperationClass,
    Outcome,
    Rule,
    Target,
    TicketIssued,
    Transaction,
)
from decoders.seen import outcome_of, seen_of
from decoders.soap import SoapTransaction
from decoders.vim25_call import API
from decoders.vim25_objects import Objects, moref

TICKET_COOKIE = "vmware_cgi_ticket"
LEASE = "HttpNfcLease"
_FOLDER, _GUEST_FILE, _DISK, _CONSOLE = "/folder/", "/guestFile", "/nfc/", "/ticket/"
_CLASSES = {
    _GUEST_FILE: OperationClass.GUEST,
    _DISK: OperationClass.DISK,
    _CONSOLE: OperationClass.CONSOLE,
}
_METHODS = ("GET", "PUT", "POST", "DELETE")
_CLASS_OF_FOLDER = {
    "GET": OperationClass.DISK,
    "PUT": OperationClass.CREATE,
    "POST": OperationClass.CREATE,
    "DELETE": OperationClass.DELETE,
}
_SWITCHING = 101  # a console goes on as a WebSocket


def rules() -> list[Rule]:
    paths = (f"{_FOLDER}*", _GUEST_FILE, f"{_DISK}*", f"{_CONSOLE}*")
    return [Rule(0, method=method, path=path) for path in paths for method in _METHODS]


def is_access(transaction: Transaction) -> bool:
    path = path_of(transaction.target)
    known = path.startswith((_FOLDER, _DISK, _CONSOLE)) or path == _GUEST_FILE
    return known and transaction.method in _METHODS and not path.endswith("/")


def access(transaction: Transaction, token: str, hasher: Hasher) -> list[Message]:
    request = Headers(transaction.request_head)
    path, query = path_of(transaction.target), query_of(transaction.target)
    place = next(each for each in (_FOLDER, _GUEST_FILE, _DISK, _CONSOLE) if path.startswith(each))
    secret = request.cookie(TICKET_COOKIE)
    if place in (_DISK, _CONSOLE):
        secret = path[len(place) :].partition("/")[0]
    elif place == _GUEST_FILE:
        secret = query.get("token", "")
    outcome = outcome_of(transaction)
    if transaction.status == _SWITCHING:
        outcome = Outcome.SUCCESS
    return [
        Call(
            **seen_of(transaction, request, token, ""),
            api=API,
            operation=f"{transaction.method} {place.rstrip('/')}",
            operation_class=_CLASSES.get(place) or _CLASS_OF_FOLDER[transaction.method],
            related=tuple(_file(place, path, query)),
            outcome=outcome,
            fault=f"HTTP {transaction.status}" if outcome is Outcome.FAILURE else "",
            user=basic_user(request.first("authorization")),
            ticket=hasher(secret) if secret else "",
        )
    ]


def _file(place: str, path: str, query: dict[str, str]) -> Iterator[Target]:
    if place == _FOLDER:
        name = unquote(path[len(_FOLDER) :])
        datastore = query.get("dsName", "")
        name = f"[{datastore}] {name}" if datastore else name
        yield Target("DatastoreFile", name=printable(name))
    elif place == _DISK and (name := path[len(_DISK) :].partition("/")[2]):
        yield Target("VirtualDisk", name=printable(unquote(name)))


def lease_tickets(read: SoapTransaction, objects: Objects) -> list[Message]:
    """Of the `info` of a lease: the URLs of its disks carry the ticket in their path."""
    issued: list[Message] = []
    for target, found in objects:
        info = found.get("info", Element())
        if target.type == LEASE:
            secrets = {_ticket_of_url(each.value("url")) for each in info.all("deviceUrl")}
            entity = moref(info.at("entity"))
            issued += [
                TicketIssued(
                    **read.seen,
                    kind="nfc",
                    ticket=read.hash(secret),
                    target=entity,
                    lease=target.id,
                )
                for secret in sorted(secrets - {""})
            ]
    return issued


def _ticket_of_url(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return path[len(_DISK) :].partition("/")[0] if path.startswith(_DISK) else ""
