"""The vocabulary between decoders and the sensor: what comes in (Transaction) and what is said of
it (messages).

Nothing here holds a secret: passwords are dropped by the decoder, and every token, cookie, ticket
and session key is the keyed hash that the `Hasher` given to the decoder made of it. Times are ns
since the epoch, packet time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Direction(IntEnum):
    TO_SERVER = 0
    TO_CLIENT = 1


class DecodeError(Exception):
    """The peer broke the protocol; the message is lost, the flow goes on."""


Hasher = Callable[[str], str]  # a secret -> its keyed hash, for example "b2s:9f31c0..."


# The token of what belongs to no other session than the flow's own: the flow's name follows it.
CONNECTION = "flow:"


class Transaction(NamedTuple):
    """A request and its response as the core framed them (sensor/_core.pyi TransactionTuple)."""

    request_ns: int
    response_ns: int  # 0: no response
    end_ns: int
    method: str
    target: str  # request-target as sent
    status: int  # 0: no response
    request_head: bytes  # header lines, CRLF between, without start line
    response_head: bytes
    request_body: bytes  # de-chunked, decompressed; b"" unless asked for
    response_body: bytes
    operation: str  # SOAP operation, or ""
    this_type: str
    this_id: str
    operation_id: str  # SOAP operationID header, or ""
    flags: int  # TransactionFlag


class TransactionFlag(IntEnum):
    """Bits of Transaction.flags (sensor/core/transaction.h)."""

    REQUEST_CUT = 1
    RESPONSE_CUT = 2
    REQUEST_GAP = 4
    RESPONSE_GAP = 8
    NEW_TOKEN = 16
    NO_RESPONSE = 32
    INTERIM = 64
    TUNNELLED = 128
    DECRYPTED = 256
    HTTP2 = 512


class Framing(IntEnum):
    """Framed.protocol (sensor/core/framed.h)."""

    AUTHD = 1
    NFC = 2
    NFC_AIO = 3
    VIX = 4
    CONSOLE = 5
    LIBVIRT = 6


class FramedFlag(IntEnum):
    """Bits of Framed.flags (sensor/core/framed.h)."""

    CUT = 1
    DECRYPTED = 2
    BULK = 4
    BLANKED = 8


class Framed(NamedTuple):
    """One message of a framed protocol; of those of TCP 902, secrets are blanked in the core."""

    protocol: int  # Framing
    flags: int  # FramedFlag
    tls_session: int  # counted from 1 within the flow; 0: in clear
    size_bytes: int  # on the wire
    start_ns: int  # its first byte
    data: bytes


class Want(IntEnum):
    """Bits of an interest rule (sensor/core/interest.h)."""

    REQUEST_BODY = 1
    RESPONSE_BODY = 2
    FAILED_ONLY = 4
    CHANGED_ONLY = 8
    NEW_OBJECTS = 16


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing a decoder wants: a SOAP `operation`, or a `method` and `path`; '*' is any run."""

    want: int
    operation: str = ""
    method: str = ""
    path: str = ""
    request_has: tuple[str, ...] = ()
    response_has: tuple[str, ...] = ()


class Outcome(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


class OperationClass(StrEnum):
    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    POWER = "power"
    LOGIN = "login"
    LOGOUT = "logout"
    GUEST = "guest"
    CONSOLE = "console"
    DISK = "disk"


class LoginMethod(StrEnum):
    PASSWORD = "password"
    BASIC = "basic"
    SSPI = "sspi"
    SAML = "saml"
    CERTIFICATE = "certificate"  # extension logins
    CLONE = "clone"
    IMPERSONATION = "impersonation"
    TOKEN = "token"  # an API token or a JWT of an identity provider
    TICKET = "ticket"  # handed out by another service to whoever asked there
    NONE = "none"  # the server lets everybody in


@dataclass(frozen=True, slots=True)
class Target:
    """A managed object as one service names it: `type`, `id` (moref or href), `name` if said."""

    type: str = ""
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What every message has: the span of its transaction, and who sent it."""

    time_ns: int  # first byte of the request
    end_ns: int  # last byte of the response
    token: str = ""  # hash of the session token that the request carried
    user_agent: str = ""
    forwarded_for: str = ""  # X-Forwarded-For or Forwarded as claimed, leftmost first
    via: str = ""  # proxies that say to have passed it on: Via, or `by` of Forwarded, as claimed
    operation_id: str = ""  # id carried into the service (SOAP operationID, client request id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyLogin(Message):
    """Credentials shown to a forward proxy: what the flow asks for from now on, this user asks.

    `token` is the hash of the credentials where each request carries them (Basic); empty where the
    connection is what they opened (NTLM, Negotiate).
    """

    user: str
    method: LoginMethod
    outcome: Outcome
    fault: str = ""
    destination: str = ""  # host and port that the proxy is to connect to


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen(Message):
    """The server said what it is."""

    service: str  # registered id: VC, ESX, VCD
    product: str = ""
    version: str = ""
    instance: str = ""  # instanceUuid of a vCenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Message):
    """An act of getting an identity, done or refused; a further round (SSPIChallenge) is none."""

    api: str  # vim25, vcloud
    operation: str
    method: LoginMethod
    outcome: Outcome
    fault: str = ""  # InvalidLogin, NoPermission, HTTP 401, ...
    user: str = ""  # as the server names it, else as claimed
    claimed: str = ""  # as the client wrote it
    full_name: str = ""
    # Hashes set by the response; empty: `token` stays and now has this identity.
    new_tokens: tuple[str, ...] = ()
    session: str = ""  # hash of UserSession.key
    ticket: str = ""  # hash of the clone ticket that was redeemed
    client_address: str = ""  # as the server saw it
    extension: bool = False
    delegates: tuple[str, ...] = ()  # of a SAML assertion: who acts for `user`, least recent first
    assertion: str = ""  # hash that names the SAML assertion, issued here or brought along
    details: tuple[tuple[str, str], ...] = ()  # for the record's `extra`, as those of a Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Logout(Message):
    """A session ended: its own Logout, TerminateSession of others, or DELETE of a REST session."""

    api: str
    operation: str
    outcome: Outcome
    fault: str = ""
    sessions: tuple[str, ...] = ()  # hashes of the keys terminated; empty: the session of `token`


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSeen(Message):
    """A token, a session key and a user (any may be missing) belong together; said by no login."""

    session: str = ""
    user: str = ""
    full_name: str = ""
    client_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionExpired(Message):
    """The server no longer takes `token` (NotAuthenticated, 401)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketIssued(Message):
    """A credential was handed out that another flow may redeem."""

    kind: str  # clone, generic, local, mks, webmks, nfc, ...
    ticket: str  # keyed hash
    target: Target = Target()
    lease: str = ""  # id of what it was read from, which the call that asked for it had returned


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Message):
    """An action: it changes something, or opens access."""

    api: str
    operation: str
    operation_class: OperationClass
    target: Target = Target()
    related: tuple[Target, ...] = ()  # what else it names or made: a new VM's name, a result object
    outcome: Outcome = Outcome.UNKNOWN
    fault: str = ""
    task: str = ""  # task moref or href that the response returned
    request_id: str = ""  # id that the server gave the request in its response
    guest_user: str = ""  # account inside the guest, from the call's own credentials
    guest_interactive: bool = False
    guest_ticket: str = ""  # hash of the guest ticket that stands for `guest_user`
    user: str = ""  # identity carried by the call itself (Basic on every request)
    sessions: tuple[str, ...] = ()  # hashes of session keys that the call names
    initiated_by: str = ""  # the user for whom an extension says it acts (CreateTask)
    tenant: str = ""  # the organisation inside which a provider's account acts: its name, else id
    activation_id: str = ""  # of the task that the call creates, chosen by the client (CreateTask)
    ticket: str = ""  # hash of the ticket that the call redeems
    # What else is worth a line in the record's `extra`: ("intent", "read"), ("client", "vddk").
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestLogin(Message):
    """Credentials of a guest's account were checked or exchanged for a ticket, beside its Call."""

    api: str  # vim25, vix
    operation: str
    outcome: Outcome
    target: Target = Target()  # the VM, if known
    guest_user: str = ""
    credential: str = ""  # name_password, ticketed_session, sspi, saml_bearer_token, ...
    fault: str = ""
    interactive: bool = False
    ticket: str = ""  # hash of the guest ticket that was used, or issued
    handle: str = ""  # of the client's VM handle, within `token`


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestLogout(Message):
    """A guest session ended: its logout, the release of its ticket, or its handle was closed."""

    api: str
    operation: str
    target: Target = Target()
    guest_user: str = ""
    ticket: str = ""
    handle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved(Message):
    """An opened disk, console or file is closed: the bytes that went each way since its call."""

    call_ns: int  # time_ns of the Call that opened it; `token` is the Call's
    to_server_bytes: int
    to_client_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBeat(Message):
    """A hypervisor's heartbeat to its vCenter."""

    host_key: str
    address: str  # as the host says
    build: int
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanged(Message):
    """A task that has ended, as a property read, an update or a REST poll showed it."""

    task: str
    outcome: Outcome
    fault: str = ""
    operation: str = ""  # descriptionId, operationName
    entity: Target = Target()
    user: str = ""  # TaskReasonUser, Task/User
    result: Target = Target()
    parent_task: str = ""
    root_task: str = ""
    activation_id: str = ""
    lower_tasks: tuple[str, ...] = ()  # VcTask morefs of a Cloud Director task


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSeen(Message):
    """Inventory: an object's names at this server; `container` is what holds it (vApp of a VM)."""

    target: Target
    uuid: str = ""
    instance_uuid: str = ""
    container: Target = Target()
    path: str = ""  # of a VM's configuration file: "[datastore] folder/name.vmx"
