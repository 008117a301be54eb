"""libvirt's RPC: who connects, and what is asked of domains, networks and storage.

Facts: libvirt's src/rpc/virnetprotocol.x and src/remote/remote_protocol.x. The connection is the
session. An answer is matched to its call by serial; a call without one is told at the end, with its
outcome unknown. Over plain TCP, SASL seals all that follows a login; inside TLS it does not.
"""

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from decoders import jsontree, libvirt_auth, xml
from decoders.http import printable
from decoders.libvirt_procedures import (
    AGENT_COMMAND,
    AUTH_LIST,
    CLOSE,
    OPEN,
    PROCEDURES,
    QEMU,
    REMOTE,
    SASL_INIT,
    SASL_START,
    SASL_STEP,
    SET_SSH_KEYS,
    SET_USER_PASSWORD,
    Procedure,
    Subject,
)
from decoders.message import (
    Call,
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Hasher,
    Login,
    LoginMethod,
    Logout,
    Message,
    Outcome,
    Target,
)
from decoders.xdr import Reader

API = "libvirt"
PENDING_MAX = 256  # libvirt's own max_client_requests is 5
_HEADER_BYTES = 28
_OK, _ERROR = 0, 1
_WITH_UUID = (Subject.DOMAIN, Subject.NETWORK, Subject.STORAGE_POOL, Subject.FILTER)
# enum virErrorNumber, of those that say why a change or a login was refused
_ERRORS = {
    1: "internal error",
    3: "not supported",
    8: "invalid argument",
    9: "operation failed",
    27: "XML error",
    28: "domain exists",
    29: "operation denied",
    38: "system error",
    42: "no domain",
    43: "no network",
    45: "authentication failed",
    55: "operation invalid",
    88: "access denied",
}


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call without its answer; what it says is decoded, its bytes are gone."""

    number: int
    time_ns: int
    end_ns: int
    procedure: Procedure | None
    target: Target
    guest_user: str = ""
    details: tuple[tuple[str, str], ...] = ()


class Libvirt:
    """One flow, whose session is `flow_session`."""

    name = API

    def __init__(self, hasher: Hasher, flow_session: str) -> None:
        del hasher
        self._token = flow_session
        self._pending: OrderedDict[tuple[int, int], _Pending] = OrderedDict()  # program, serial
        self._uri = ""
        self._mechanism = self._user = self._realm = ""
        self._is_sealed = False  # by TLS
        self._has_login = False
        self._is_closed = False

    def message(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        if framed.flags & FramedFlag.BULK or len(framed.data) < _HEADER_BYTES:
            return []
        body = Reader(framed.data)
        _, program, _, number, _, serial, status = (body.number() for _ in range(7))
        if direction == Direction.TO_SERVER:
            return self._asked((program, serial), number, body, framed, time_ns)
        pending = self._pending.pop((program, serial), None)
        return self._answered(pending, status, body, time_ns) if pending else []

    def gap(self, direction: Direction, size_bytes: int, time_ns: int) -> list[Message]:
        """Serials match what is left; an answer that was missed leaves its call pending."""
        del direction, size_bytes, time_ns
        return []

    def tls(self, tls_session: int, is_open: bool, time_ns: int) -> list[Message]:
        del tls_session, is_open, time_ns
        self._is_sealed = True
        return []

    def close(self, time_ns: int, to_server_bytes: int, to_client_bytes: int) -> list[Message]:
        del time_ns, to_server_bytes, to_client_bytes
        messages: list[Message] = []
        for pending in self._pending.values():
            if pending.procedure is not None:
                messages.append(self._call(pending, pending.end_ns, Outcome.UNKNOWN, "", Target()))
        self._pending.clear()
        return messages

    def _asked(
        self, key: tuple[int, int], number: int, body: Reader, framed: Framed, time_ns: int
    ) -> list[Message]:
        program = key[0]
        procedure = PROCEDURES.get((program, number))
        is_session = program == REMOTE and number in _SESSION
        if procedure is None and not is_session:
            return []
        if is_session:
            self._begin(number, body)
        target, guest_user = Target(), ""
        details: tuple[tuple[str, str], ...] = ()
        if procedure is not None:
            target = _subject(procedure.subject, body)
            guest_user, details = _more(program, number, body)
        self._pending[key] = _Pending(
            number, framed.start_ns, time_ns, procedure, target, guest_user, details
        )
        if len(self._pending) <= PENDING_MAX:
            return []
        _, shed = self._pending.popitem(last=False)
        if shed.procedure is None:
            return []
        return [self._call(shed, shed.end_ns, Outcome.UNKNOWN, "", Target())]

    def _begin(self, number: int, body: Reader) -> None:
        """What a step towards an identity says of whose it will be."""
        if number == OPEN:
            self._uri = printable(body.optional_text())
        elif number == SASL_START:
            self._mechanism = printable(body.text())
        if number in (SASL_START, SASL_STEP):
            body.number()  # `nil`: is there no data?
            data = body.characters()
            self._user = self._user or libvirt_auth.user_of(self._mechanism, data)
            self._realm = self._realm or libvirt_auth.realm_of(self._mechanism, data)

    def _answered(
        self, pending: _Pending, status: int, body: Reader, time_ns: int
    ) -> list[Message]:
        outcome = Outcome.SUCCESS if status == _OK else Outcome.FAILURE
        fault = _fault(body) if status == _ERROR else ""
        if pending.procedure is None:
            return self._session(pending, outcome, fault, body, time_ns)
        made = Target()
        if outcome is Outcome.SUCCESS and pending.procedure.makes is not Subject.OTHER:
            made = _subject(pending.procedure.makes, body)
        return [self._call(pending, time_ns, outcome, fault, made)]

    def _session(
        self, pending: _Pending, outcome: Outcome, fault: str, body: Reader, time_ns: int
    ) -> list[Message]:
        succeeded = outcome is Outcome.SUCCESS
        if pending.number in (SASL_START, SASL_STEP):
            is_complete = succeeded and body.number() == 1
            return [self._login(pending, outcome, fault, time_ns)] if is_complete or fault else []
        if pending.number == OPEN and (not self._has_login or not succeeded):
            return [self._login(pending, outcome, fault, time_ns)]
        if pending.number == CLOSE and succeeded and self._has_login and not self._is_closed:
            self._is_closed = True
            return [
                Logout(
                    time_ns=pending.time_ns,
                    end_ns=time_ns,
                    token=self._token,
                    api=API,
                    operation="connect_close",
                    outcome=outcome,
                )
            ]
        return []

    def _login(self, pending: _Pending, outcome: Outcome, fault: str, time_ns: int) -> Login:
        """By SASL; else the connection itself, known by its certificate or by nothing."""
        is_sasl = pending.number != OPEN
        self._has_login = self._has_login or outcome is Outcome.SUCCESS
        method = LoginMethod.CERTIFICATE if self._is_sealed else LoginMethod.NONE
        stated = (
            ("uri", self._uri),
            ("mechanism", self._mechanism),
            ("realm", self._realm if not self._user else ""),
        )
        login = Login(
            time_ns=pending.time_ns,
            end_ns=time_ns,
            token=self._token,
            api=API,
            operation="auth_sasl" if is_sasl else "connect_open",
            method=libvirt_auth.method_of(self._mechanism) if is_sasl else method,
            outcome=outcome,
            fault=fault,
            user=self._user,
            claimed=self._user,
            details=tuple((key, value) for key, value in stated if value),
        )
        if outcome is Outcome.FAILURE:  # another mechanism, or another name, may follow
            self._user = self._realm = ""
        return login

    def _call(
        self, pending: _Pending, end_ns: int, outcome: Outcome, fault: str, made: Target
    ) -> Call:
        procedure = pending.procedure
        assert procedure is not None
        is_named = bool(pending.target.id)
        target = pending.target if is_named or not made.id else made
        return Call(
            time_ns=pending.time_ns,
            end_ns=end_ns,
            token=self._token,
            api=API,
            operation=procedure.name,
            operation_class=procedure.kind,
            target=target,
            related=(made,) if made.name and made != target else (),
            outcome=outcome,
            fault=fault,
            guest_user=pending.guest_user,
            details=pending.details,
        )


_SESSION = (OPEN, CLOSE, AUTH_LIST, SASL_INIT, SASL_START, SASL_STEP)


def _subject(subject: Subject, body: Reader) -> Target:
    """What a call acts on, or an answer names; what cannot be read is not guessed."""
    try:
        return _read_subject(subject, body)
    except DecodeError:
        return Target()


def _read_subject(subject: Subject, body: Reader) -> Target:
    if subject is Subject.OTHER:
        return Target()
    if subject is Subject.XML:
        description = xml.parse(body.cut_text().encode())
        kind = description.name[:1].upper() + description.name[1:]
        return Target(printable(kind), name=printable(description.value("name")))
    if subject is Subject.NAME:
        return Target(Subject.DOMAIN.value, name=printable(body.text()))
    if subject is Subject.SECRET:
        return Target(subject.value, str(UUID(bytes=body.fixed(16))))
    name = printable(body.text())
    if subject is Subject.STORAGE_VOLUME:  # pool, name, key
        return Target(subject.value, name=f"{name}/{printable(body.text())}")
    if subject is Subject.SNAPSHOT:
        return _read_subject(Subject.DOMAIN, body)
    if subject not in _WITH_UUID:
        return Target(subject.value, name=name)
    target = Target(subject.value, str(UUID(bytes=body.fixed(16))), name)
    if subject is Subject.DOMAIN:
        body.number()  # its number while it runs
    return target


def _more(program: int, number: int, body: Reader) -> tuple[str, tuple[tuple[str, str], ...]]:
    """(account in the guest, details) of the calls that carry them after the domain."""
    try:
        if (program, number) == (REMOTE, SET_USER_PASSWORD):
            return printable(body.optional_text()), ()
        if (program, number) == (REMOTE, SET_SSH_KEYS):
            return printable(body.text()), ()
        if (program, number) == (QEMU, AGENT_COMMAND):
            name = printable(jsontree.parse(body.text().encode()).value("execute"))
            return "", (("command", name),) if name else ()
    except DecodeError:
        pass
    return "", ()


def _fault(body: Reader) -> str:
    """By the error's number; its text quotes names and paths, and is left out."""
    number = body.number()
    return _ERRORS.get(number, f"error {number}")
