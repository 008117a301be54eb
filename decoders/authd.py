"""vmware-authd, the door of TCP 902: its dialog of lines, and what takes the connection over.

PROTOCOLS section 2. A client says who it is (USER and PASS, or SESSION with a ticket), then has the
connection handed to a service: PROXY to NFC, CONNECT to a machine's console. What follows is in
clear, or a TLS handshake of its own.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from decoders.decoder import StreamDecoder
from decoders.message import (
    Call,
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    Hasher,
    Login,
    LoginMethod,
    Message,
    Moved,
    OperationClass,
    Outcome,
    ServerSeen,
    Target,
)
from decoders.nfc import Nfc
from decoders.sealed902 import Sealed
from decoders.vix_bodies import machine_of

API = "authd"
PENDING_MAX = 64  # commands without their reply; clients wait for each

_BANNER = re.compile(r"220 VMware Authentication Daemon Version ([0-9]+(?:\.[0-9]+)*)")
# A ticket serves as user name and password at once.
_TICKET = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_REPLY = re.compile(r"([1-5][0-9]{2})([ -]|$)")
# Known texts only: another one could quote the user name, which may be a ticket.
_FAULTS = ("530 Login incorrect", "530 Please login", "501 Invalid arguments")
# Workstation says neither; VMware Server 2 has the first without the second.
_ESX_CAPABILITIES = ("vmxargs supported", "nfcssl supported")

_TO_CLIENT = Direction.TO_CLIENT


@dataclass(slots=True)
class _Command:
    verb: str
    argument: str
    start_ns: int
    login: "_Attempt | None" = None  # that its reply decides


@dataclass(slots=True)
class _Attempt:
    """To become somebody; told once, whichever reply decides it."""

    operation: str
    start_ns: int
    user: str = ""
    ticket: str = ""  # hash
    is_told: bool = False


class Authd:
    """One connection. `session` names it where no token on the wire does."""

    name = "authd"

    def __init__(
        self, hasher: Hasher, session: str, vix: Callable[[Target], StreamDecoder]
    ) -> None:
        """`vix` makes the decoder of messages to the machine that was connected to."""
        self._hash = hasher
        self._session = session
        self._make_vix = vix
        self._vix: StreamDecoder | None = None
        self._nfc = Nfc(session)
        self._sealed = Sealed(session)
        self._greeted = False
        self._pending: deque[_Command] = deque()
        self._asked: _Attempt | None = None  # USER came, PASS did not yet
        self._ticket: _Attempt | None = None  # SESSION, which has no reply of its own
        self._proved = ""  # hash of the ticket that the last login redeemed
        self._logged_in = False
        self._opened: Call | None = None  # whoever has the connection now
        self._dialog = [0, 0]  # bytes of lines, by direction
        self._after = [0, 0]  # bytes of what came after the hand-over, by direction

    def message(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        if framed.protocol == Framing.AUTHD:
            return self._line(direction, framed, time_ns)
        self._after[direction] += framed.size_bytes
        if framed.protocol in (Framing.NFC, Framing.NFC_AIO):
            return self._nfc.message(direction, framed, time_ns)
        if framed.protocol != Framing.VIX or framed.flags & FramedFlag.BULK:
            return []
        return self._message_of_vix(direction, framed, time_ns)

    def gap(self, direction: Direction, size_bytes: int, time_ns: int) -> list[Message]:
        """Replies can no longer be told to belong to a command: the outcomes stay unknown."""
        if self._opened is not None or self._after != [0, 0]:
            self._after[direction] += size_bytes
        said = self._give_up(time_ns) + self._nfc.gap(direction, size_bytes, time_ns)
        if self._vix is not None:
            said += self._vix.gap(direction, size_bytes, time_ns)
        return said

    def tls(self, tls_session: int, is_open: bool, time_ns: int) -> list[Message]:
        self._sealed.tls(tls_session, is_open, time_ns)
        said = self._vix.tls(tls_session, is_open, time_ns) if self._vix is not None else []
        # Only a hand-over begins a second one: what is undecided will stay so.
        return said + self._give_up(time_ns) if tls_session > 1 else said

    def close(self, time_ns: int, to_server_bytes: int, to_client_bytes: int) -> list[Message]:
        said = self._give_up(time_ns) + self._nfc.close(time_ns)
        if self._vix is not None:
            said += self._vix.close(time_ns, to_server_bytes, to_client_bytes)
        is_read = self._after != [0, 0]
        if self._opened is None:
            if not is_read:
                said += self._sealed.close(time_ns, to_server_bytes, to_client_bytes)
        elif not self._nfc.has_opened:
            moved = self._after
            if not is_read:  # sealed: with the bytes of its handshakes
                totals = (to_server_bytes, to_client_bytes)
                moved = [max(0, totals[at] - self._dialog[at]) for at in Direction]
            said.append(
                Moved(
                    time_ns=self._opened.time_ns,
                    end_ns=time_ns,
                    token=self._session,
                    call_ns=self._opened.time_ns,
                    to_server_bytes=moved[Direction.TO_SERVER],
                    to_client_bytes=moved[_TO_CLIENT],
                )
            )
        return said

    def _message_of_vix(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        if self._vix is None:
            self._vix = self._make_vix(self._opened.target if self._opened else Target())
            self.name = self._vix.name  # errors from here on are its own
        said: list[Message] = []
        if direction == _TO_CLIENT and self._ticket is not None:
            # Unverified, as VIX without a hand-over is: a refused ticket is answered with a line.
            said = [self._login(self._ticket, Outcome.SUCCESS, time_ns)]
            self._ticket = None
        return said + self._vix.message(direction, framed, time_ns)

    def _line(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        self._dialog[direction] += framed.size_bytes
        line = framed.data.decode("utf-8", "replace")
        if self._opened is not None:
            return []
        if direction == _TO_CLIENT:
            return self._reply(line, framed.start_ns, time_ns)
        verb, _, argument = line.lstrip(" \t").replace("\t", " ").partition(" ")
        command = _Command(verb.upper(), argument.strip(), framed.start_ns)
        if framed.flags & FramedFlag.CUT and command.verb == "SESSION":
            command.argument = ""  # half a ticket is no join key
        if command.verb == "SESSION":
            return self._redeem(command, time_ns)
        self._command(command)
        return []

    def _redeem(self, command: _Command, time_ns: int) -> list[Message]:
        said = [self._login(self._ticket, Outcome.UNKNOWN, time_ns)] if self._ticket else []
        ticket = self._hash(command.argument) if command.argument else ""
        self._ticket = _Attempt("SESSION", command.start_ns, ticket=ticket)
        return [*said]

    def _command(self, command: _Command) -> None:
        if len(self._pending) >= PENDING_MAX:
            raise DecodeError("too many commands without a reply")
        if command.verb == "USER":
            is_ticket = _TICKET.fullmatch(command.argument) is not None
            self._asked = command.login = _Attempt(
                "USER",
                command.start_ns,
                user="" if is_ticket else command.argument,
                ticket=self._hash(command.argument) if is_ticket else "",
            )
        elif command.verb in ("PASS", "XPAS"):
            command.login, self._asked = self._asked, None
        self._pending.append(command)

    def _reply(self, line: str, start_ns: int, time_ns: int) -> list[Message]:
        found = _REPLY.match(line)
        if found is None:
            raise DecodeError("a reply without its code")
        if found[2] == "-":  # more lines follow
            return []
        if not self._greeted and found[1] == "220" and not self._pending:
            self._greeted = True
            return _server_of(line, start_ns, time_ns)
        command = self._pending.popleft() if self._pending else None
        said = self._judge_ticket(command, found[1], time_ns)
        if command is None:
            return said
        step = _STEPS.get((command.verb, found[1][0]))
        return said + step(self, command, line, time_ns) if step is not None else said

    def _judge_ticket(self, command: _Command | None, code: str, time_ns: int) -> list[Message]:
        """Whether SESSION was taken shows in what follows; BANNER and THUMBPRINT prove nothing."""
        is_service = command is not None and command.verb in _HAND_OVERS
        if self._ticket is None or not (code == "530" or (is_service and code[0] == "2")):
            return []
        attempt, self._ticket = self._ticket, None
        if code == "530":
            return [self._login(attempt, Outcome.FAILURE, time_ns, "530 Login incorrect")]
        return [self._login(attempt, Outcome.SUCCESS, time_ns)]

    def _accepted(self, command: _Command, line: str, time_ns: int) -> list[Message]:
        del line
        if command.login is None or command.login.is_told:
            return []
        return [self._login(command.login, Outcome.SUCCESS, time_ns)]

    def _refused(self, command: _Command, line: str, time_ns: int) -> list[Message]:
        if command.login is None or command.login.is_told:
            return []
        return [self._login(command.login, Outcome.FAILURE, time_ns, _fault_of(line))]

    def _handed_over(self, command: _Command, line: str, time_ns: int) -> list[Message]:
        del line
        self._opened = self._call(command, Outcome.SUCCESS, time_ns)
        return [self._opened]

    def _denied(self, command: _Command, line: str, time_ns: int) -> list[Message]:
        if not self._logged_in:
            return []
        return [self._call(command, Outcome.FAILURE, time_ns, _fault_of(line))]

    def _give_up(self, time_ns: int) -> list[Message]:
        """Nothing will be learned of what is undecided."""
        said: list[Message] = []
        if self._ticket is not None:
            said.append(self._login(self._ticket, Outcome.UNKNOWN, time_ns))
        for command in self._pending:
            attempt = command.login
            if command.verb != "USER" and attempt is not None and not attempt.is_told:
                said.append(self._login(attempt, Outcome.UNKNOWN, time_ns))
            elif command.verb in _HAND_OVERS and self._logged_in:
                said.append(self._call(command, Outcome.UNKNOWN, time_ns))
        self._pending.clear()
        self._ticket = self._asked = None
        return said

    def _login(self, attempt: _Attempt, outcome: Outcome, time_ns: int, fault: str = "") -> Login:
        attempt.is_told = True
        is_success = outcome is Outcome.SUCCESS
        if is_success:
            self._logged_in, self._proved = True, attempt.ticket
        by_ticket = bool(attempt.ticket) or attempt.operation == "SESSION"
        return Login(
            time_ns=attempt.start_ns,
            end_ns=time_ns,
            api=API,
            operation=attempt.operation,
            method=LoginMethod.TICKET if by_ticket else LoginMethod.PASSWORD,
            outcome=outcome,
            fault=fault,
            user=attempt.user,
            claimed=attempt.user,
            new_tokens=(self._session,) if is_success else (),
            ticket=attempt.ticket,
        )

    def _call(self, command: _Command, outcome: Outcome, time_ns: int, fault: str = "") -> Call:
        target, related, service = _HAND_OVERS[command.verb](command.argument)
        return Call(
            time_ns=command.start_ns,
            end_ns=time_ns,
            token=self._session,
            api=API,
            operation=command.verb,
            operation_class=_class_of(service),
            target=target,
            related=related,
            outcome=outcome,
            fault=fault,
            ticket=self._proved,
            details=(("service", service),) if service else (),
        )


# (verb, first digit of the reply) -> what follows; other pairs say nothing.
_STEPS: dict[tuple[str, str], Callable[[Authd, _Command, str, int], list[Message]]] = {
    ("USER", "2"): Authd._accepted,  # no password was asked for
    ("USER", "5"): Authd._refused,
    ("PASS", "2"): Authd._accepted,
    ("PASS", "5"): Authd._refused,
    ("XPAS", "2"): Authd._accepted,  # unverified: known by its name only
    ("XPAS", "5"): Authd._refused,
    ("PROXY", "2"): Authd._handed_over,
    ("PROXY", "5"): Authd._denied,
    ("CONNECT", "2"): Authd._handed_over,
    ("CONNECT", "5"): Authd._denied,
}


def _proxied(argument: str) -> tuple[Target, tuple[Target, ...], str]:
    """What of the service is opened, its own protocol says."""
    return Target(), (), argument


def _connected(argument: str) -> tuple[Target, tuple[Target, ...], str]:
    """`<path of a .vmx> mks`."""
    path, _, service = argument.rpartition(" ")
    if not path:
        path, service = service, ""
    return machine_of(path), (Target("DatastoreFile", name=path),), service


_HAND_OVERS: dict[str, Callable[[str], tuple[Target, tuple[Target, ...], str]]] = {
    "PROXY": _proxied,
    "CONNECT": _connected,
}


def _class_of(service: str) -> OperationClass:
    """Of other services than NFC and mks nothing is known but that they were opened."""
    if "nfc" in service.lower():
        return OperationClass.DISK
    return OperationClass.CONSOLE if service.lower() == "mks" else OperationClass.READ


def _server_of(line: str, start_ns: int, time_ns: int) -> list[Message]:
    """What the banner proves. Order and number of the capabilities vary, empty ones occur."""
    found = _BANNER.match(line)
    if found is None:
        return []
    capabilities = [part.strip().lower() for part in line[found.end() :].split(",")]
    if not all(any(each.startswith(one) for each in capabilities) for one in _ESX_CAPABILITIES):
        return []
    return [
        ServerSeen(
            time_ns=start_ns,
            end_ns=time_ns,
            service="ESX",
            product="vmware-authd",
            version=found[1],
        )
    ]


def _fault_of(line: str) -> str:
    return next((each for each in _FAULTS if line.startswith(each)), line[:3])
