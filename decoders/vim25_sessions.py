"""SessionManager: how a vim25 session gets an identity, lends it, changes it and ends.

The identity binds at the response that carries a UserSession, not at Set-Cookie: a server may set
the cookie before login and keep it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from decoders import ntlm
from decoders.element import Element
from decoders.message import (
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    SessionSeen,
    Target,
)
from decoders.saml import Principal, principal
from decoders.soap import SoapTransaction
from decoders.vim25_call import API, call_of, ticket_of
from decoders.vim25_objects import Objects

COOKIE = "vmware_soap_session"
HEADER = "vmware-api-session-id"  # the JSON protocol's, and that of the Automation API
_ANOTHER_ROUND = "SSPIChallenge"  # a fault that asks for the next token, no refusal
_METHODS = {
    "Login": LoginMethod.PASSWORD,
    "LoginBySSPI": LoginMethod.SSPI,
    "LoginByToken": LoginMethod.SAML,
    "LoginExtensionByCertificate": LoginMethod.CERTIFICATE,
    "LoginExtensionBySubjectName": LoginMethod.CERTIFICATE,
    "ImpersonateUser": LoginMethod.IMPERSONATION,
    "CloneSession": LoginMethod.CLONE,
}
_SESSION_PROPERTIES = ("currentSession", "sessionList")


def _login(soap: SoapTransaction) -> list[Message]:
    if soap.fault == _ANOTHER_ROUND:
        return []
    holder = principal(soap.header) if soap.operation == "LoginByToken" else Principal()
    claimed = _claimed(soap, holder)
    session = soap.result.at("returnval")
    return [
        Login(
            **soap.seen,
            api=API,
            operation=soap.operation,
            method=_METHODS[soap.operation],
            outcome=soap.outcome,
            fault=soap.fault,
            user=session.value("userName") or claimed,
            claimed=claimed,
            full_name=session.value("fullName"),
            new_tokens=_new_tokens(soap),
            session=soap.hash(session.value("key")),
            ticket=soap.hash(soap.arguments.value("cloneTicket")),
            client_address=session.value("ipAddress"),
            extension=_is_extension(soap, session),
            delegates=holder.delegates,
            assertion=soap.hash(holder.identity),
            details=holder.details,
        )
    ]


def _claimed(soap: SoapTransaction, holder: Principal) -> str:
    arguments = soap.arguments
    return (
        arguments.value("userName")
        or arguments.value("extensionKey")
        or holder.subject
        or ntlm.user_of(arguments.value("base64Token"))
    )


def _is_extension(soap: SoapTransaction, session: Element) -> bool:
    stated = session.value("extensionSession").lower()
    return stated in ("true", "1") or soap.operation.startswith("LoginExtension")


def _new_tokens(soap: SoapTransaction) -> tuple[str, ...]:
    if not soap.succeeded:
        return ()
    values = [*soap.response.set_cookies(COOKIE), *soap.response.all(HEADER)]
    return tuple(dict.fromkeys(soap.hash(value) for value in values if value))


def _logout(soap: SoapTransaction) -> list[Message]:
    keys = soap.arguments.values("sessionId")
    if soap.operation == "TerminateSession" and not keys:
        return []  # the request was cut: whose session ended is not known
    return [
        Logout(
            **soap.seen,
            api=API,
            operation=soap.operation,
            outcome=soap.outcome,
            fault=soap.fault,
            sessions=tuple(soap.hash(key) for key in keys),
        )
    ]


def _clone_ticket(soap: SoapTransaction) -> list[Message]:
    issued = ticket_of(soap, "clone", soap.result.value("returnval"), Target())
    return [call_of(soap, OperationClass.LOGIN), *issued]


def _local_ticket(soap: SoapTransaction) -> list[Message]:
    """The ticket's password stands in a file of the host: its path is what the wire shows."""
    user = soap.arguments.value("userName")
    related = [Target("User", name=user)] if user else []
    issued = ticket_of(soap, "local", soap.result.value("returnval", "passwordFilePath"), Target())
    return [call_of(soap, OperationClass.LOGIN, related=related), *issued]


def _service_ticket(soap: SoapTransaction) -> list[Message]:
    """Redeemed as the cookie vmware_cgi_ticket of one file transfer."""
    file = Target("File", name=_path(soap.arguments.value("spec", "url")))
    issued = ticket_of(soap, "generic", soap.result.value("returnval", "id"), Target())
    related = [file] if file.name else []
    return [call_of(soap, OperationClass.DISK, related=related), *issued]


def _path(url: str) -> str:
    """Only the path: a query can carry tokens."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _is_active(soap: SoapTransaction) -> list[Message]:
    if soap.result.value("returnval").lower() not in ("true", "1"):
        return []
    key, user = soap.arguments.value("sessionID"), soap.arguments.value("userName")
    # Asked of any session, not of the one that asks.
    return [replace(SessionSeen(**soap.seen, session=soap.hash(key), user=user), token="")]


def _message_of_the_day(soap: SoapTransaction) -> list[Message]:
    return [call_of(soap, OperationClass.UPDATE)]


def _nothing(_soap: SoapTransaction) -> list[Message]:
    return []  # SetLocale: the session's own language


SESSION_OPERATIONS: dict[str, Callable[[SoapTransaction], list[Message]]] = {
    **dict.fromkeys(_METHODS, _login),
    "Logout": _logout,
    "TerminateSession": _logout,
    "AcquireCloneTicket": _clone_ticket,
    "AcquireLocalTicket": _local_ticket,
    "AcquireGenericServiceTicket": _service_ticket,
    "SessionIsActive": _is_active,
    "UpdateServiceMessage": _message_of_the_day,
    "SetLocale": _nothing,
}


def sessions_seen(read: SoapTransaction, objects: Objects) -> list[Message]:
    """UserSession in reads of currentSession, the reader's own, and of sessionList, everyone's."""
    seen: list[Message] = []
    for _, found in objects:
        for name in _SESSION_PROPERTIES:
            for session in _user_sessions(found.get(name, Element())):
                message = _seen(read, session)
                seen.append(message if name == "currentSession" else replace(message, token=""))
    return seen


def _user_sessions(value: Element) -> Iterator[Element]:
    if value.at("key"):
        yield value
    yield from (each for each in value.children if each.at("key"))


def _seen(read: SoapTransaction, session: Element) -> SessionSeen:
    return SessionSeen(
        **read.seen,
        session=read.hash(session.value("key")),
        user=session.value("userName"),
        full_name=session.value("fullName"),
        client_address=session.value("ipAddress"),
    )
