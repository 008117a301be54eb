"""VIX: commands of a client to a VM, its host or its guest, and what became of them.

A response is matched to its request by cookie; an unanswered request is told at the end, with its
outcome unknown. A guest session lasts from its login to its logout, the release of its ticket, or
the end of the flow, at which the client's handles are closed.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from decoders.message import (
    Call,
    Direction,
    Framed,
    FramedFlag,
    GuestLogin,
    GuestLogout,
    Hasher,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Outcome,
    Target,
    TicketIssued,
)
from decoders.vix_bodies import configuration_file, machine_of, made_by, named_in
from decoders.vix_credentials import Credential, credential_of
from decoders.vix_errors import error_name
from decoders.vix_header import (
    REQUIRES_INTERACTIVE,
    CommonFlag,
    VixRequest,
    VixResponse,
    parse,
)
from decoders.vix_opcodes import (
    ACQUIRE_CREDENTIALS,
    CONNECT_HOST,
    LOGINS,
    LOGOUT_HOST,
    LOGOUTS,
    OPEN_VM,
    class_of,
    name_of,
)

API = "vix"
PENDING_MAX = 256  # a client library has one asynchronous operation a job; scripts reach dozens
HANDLES_MAX = 256  # of one flow: machines opened, guest sessions
_TICKET_CHARS_MAX = 4096
_HANDLE_CLOSED = "handle closed"
_METHODS = {
    "ticketed_session": LoginMethod.TICKET,
    "sspi": LoginMethod.SSPI,
    "saml_bearer_token": LoginMethod.SAML,
    "saml_bearer_token_host_verified": LoginMethod.SAML,
}


@dataclass(slots=True)
class _Pending:
    """A request without its response; what it says is decoded, its bytes are gone."""

    time_ns: int
    end_ns: int
    opcode: int
    handle: int
    in_guest: bool
    interactive: bool
    credential: Credential
    named: tuple[Target, ...]
    machine: str  # of OPEN_VM: the configuration file


@dataclass(slots=True)
class _Answer:
    """What became of a request."""

    time_ns: int
    outcome: Outcome = Outcome.UNKNOWN
    fault: str = ""
    additional_error: int = 0
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class _GuestSession:
    target: Target
    user: str
    ticket: str
    handle: int


class VixDecoder:
    """One flow. `flow_session` stands for the identity that the flow got before VIX began."""

    name = "vix"

    def __init__(self, hasher: Hasher, flow_session: str) -> None:
        self._hasher = hasher
        self._token = flow_session
        self._target = Target()  # the VM that the flow was connected to
        self._machines: OrderedDict[int, Target] = OrderedDict()  # by handle
        self._pending: OrderedDict[int, _Pending] = OrderedDict()  # by cookie
        # By handle, or by ticket, which stands for its account on any handle.
        self._sessions: OrderedDict[int | str, _GuestSession] = OrderedDict()

    def opened(self, target: Target) -> None:
        """The flow leads to this VM, as what came before VIX said."""
        self._target = target

    def message(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        if framed.flags & FramedFlag.BULK:
            return []  # authentication data, or what was lost between two messages
        parsed = parse(framed.data, bool(framed.flags & FramedFlag.CUT))
        if isinstance(parsed, VixRequest):
            # "Clients can only accept responses": what looks like a request to one is none.
            return self._asked(parsed, framed, time_ns) if direction == Direction.TO_SERVER else []
        if direction == Direction.TO_SERVER or parsed.is_event:
            return []  # progress and property changes
        return self._answered(parsed, time_ns)

    def gap(self, direction: Direction, size_bytes: int, time_ns: int) -> list[Message]:
        """Cookies match what is left; a response that was missed leaves its request pending."""
        del direction, size_bytes, time_ns
        return []

    def tls(self, tls_session: int, is_open: bool, time_ns: int) -> list[Message]:
        del tls_session, is_open, time_ns
        return []

    def close(self, time_ns: int, to_server_bytes: int, to_client_bytes: int) -> list[Message]:
        del to_server_bytes, to_client_bytes
        messages: list[Message] = []
        for pending in self._pending.values():
            messages += self._told(pending, _Answer(pending.end_ns))
        self._pending.clear()
        for session in self._sessions.values():
            messages.append(self._ended(session, _HANDLE_CLOSED, time_ns, time_ns))
        self._sessions.clear()
        return messages

    def _asked(self, request: VixRequest, framed: Framed, time_ns: int) -> list[Message]:
        blanked = bool(framed.flags & FramedFlag.BLANKED)
        in_guest = bool(request.flags & CommonFlag.FORWARD_TO_GUEST)
        pending = _Pending(
            framed.start_ns,
            time_ns,
            request.opcode,
            request.handle,
            in_guest,
            bool(request.request_flags & REQUIRES_INTERACTIVE),
            credential_of(request.credential_type, request.credential, blanked, self._hasher),
            named_in(request.opcode, request.body),
            configuration_file(request.opcode, request.body),
        )
        if pending.machine:
            pending.named = (Target("DatastoreFile", name=pending.machine),)
        messages: list[Message] = []
        earlier = self._pending.pop(request.cookie, None)
        if earlier is None and len(self._pending) >= PENDING_MAX:
            _, earlier = self._pending.popitem(last=False)
        if earlier is not None:
            messages = self._told(earlier, _Answer(earlier.end_ns))
        self._pending[request.cookie] = pending
        return messages

    def _answered(self, response: VixResponse, time_ns: int) -> list[Message]:
        pending = self._pending.pop(response.cookie, None)
        if pending is None:
            return []
        fault = error_name(response.error)
        answer = _Answer(
            time_ns,
            Outcome.FAILURE if fault else Outcome.SUCCESS,
            fault,
            response.additional_error if fault else 0,
            response.body,
        )
        return self._told(pending, answer)

    def _told(self, asked: _Pending, answer: _Answer) -> list[Message]:
        """A request whose outcome is as known as it will be."""
        if asked.opcode in (CONNECT_HOST, LOGOUT_HOST):
            return self._at_host(asked, answer)
        if asked.opcode == OPEN_VM and asked.machine and answer.outcome is not Outcome.FAILURE:
            self._remember_machine(asked)
        kind = class_of(asked.opcode, in_guest=asked.in_guest)
        if kind is None:
            return []
        call = self._call(asked, answer, kind)
        messages: list[Message] = [call]
        if asked.opcode in LOGINS:
            messages += self._logged_in(asked, answer, call)
        elif asked.opcode in LOGOUTS and answer.outcome is not Outcome.FAILURE:
            messages += self._logged_out(asked, call)
        return messages

    def _at_host(self, asked: _Pending, answer: _Answer) -> list[Message]:
        """Whom a host takes the client for. The body is not published: user by credential only."""
        operation, user = name_of(asked.opcode), asked.credential.user
        if asked.opcode == LOGOUT_HOST:
            return [
                Logout(
                    time_ns=asked.time_ns,
                    end_ns=answer.time_ns,
                    token=self._token,
                    api=API,
                    operation=operation,
                    outcome=answer.outcome,
                    fault=answer.fault,
                )
            ]
        if not user:
            return []
        return [
            Login(
                time_ns=asked.time_ns,
                end_ns=answer.time_ns,
                token=self._token,
                api=API,
                operation=operation,
                method=_METHODS.get(asked.credential.type, LoginMethod.PASSWORD),
                outcome=answer.outcome,
                fault=answer.fault,
                user=user,
                claimed=user,
            )
        ]

    def _call(self, asked: _Pending, answer: _Answer, kind: OperationClass) -> Call:
        in_guest = kind is OperationClass.GUEST
        credential = asked.credential
        details = [("credential", credential.type)] if credential.type != "none" else []
        if credential.subject:
            details.append(("saml_subject", credential.subject))
        if answer.additional_error:
            details.append(("additional_error", str(answer.additional_error)))
        return Call(
            time_ns=asked.time_ns,
            end_ns=answer.time_ns,
            token=self._token,
            api=API,
            operation=name_of(asked.opcode),
            operation_class=kind,
            target=self._machine(asked.handle),
            related=(*asked.named, *made_by(asked.opcode, answer.body)),
            outcome=answer.outcome,
            fault=answer.fault,
            guest_user=self._guest_user(asked) if in_guest else "",
            guest_interactive=in_guest and asked.interactive,
            guest_ticket=credential.ticket if in_guest else "",
            details=tuple(details),
        )

    def _machine(self, handle: int) -> Target:
        """Of a handle whose VM was opened on this flow, else the VM the flow leads to.

        Unverified: that `clientHandleId` names the VM's handle is what its name says.
        """
        return self._machines.get(handle, self._target)

    def _remember_machine(self, asked: _Pending) -> None:
        self._machines[asked.handle] = machine_of(asked.machine)
        if len(self._machines) > HANDLES_MAX:
            self._machines.popitem(last=False)

    def _guest_user(self, asked: _Pending) -> str:
        """The credential's own, else whose session on this flow the ticket or handle stands for."""
        credential = asked.credential
        if credential.user or credential.type not in ("none", "ticketed_session"):
            return credential.user
        if credential.type == "ticketed_session" and not credential.ticket:
            return ""
        session = self._sessions.get(credential.ticket or asked.handle)
        return session.user if session is not None else ""

    def _logged_in(self, asked: _Pending, answer: _Answer, call: Call) -> list[Message]:
        messages: list[Message] = []
        ticket = call.guest_ticket
        if asked.opcode == ACQUIRE_CREDENTIALS:
            ticket = self._issued(answer)
            if ticket:
                messages.append(
                    TicketIssued(
                        time_ns=call.time_ns,
                        end_ns=call.end_ns,
                        token=self._token,
                        kind="guest",
                        ticket=ticket,
                        target=call.target,
                    )
                )
        messages.append(
            GuestLogin(
                time_ns=call.time_ns,
                end_ns=call.end_ns,
                token=self._token,
                api=API,
                operation=call.operation,
                outcome=answer.outcome,
                target=call.target,
                guest_user=call.guest_user,
                credential=asked.credential.type,
                fault=answer.fault,
                interactive=asked.interactive,
                ticket=ticket,
                handle=str(asked.handle),
            )
        )
        if answer.outcome is Outcome.SUCCESS:
            session = _GuestSession(call.target, call.guest_user, ticket, asked.handle)
            self._sessions[ticket or asked.handle] = session
            if len(self._sessions) > HANDLES_MAX:
                self._sessions.popitem(last=False)
        return messages

    def _issued(self, answer: _Answer) -> str:
        """Hash of the ticket in a response. Unverified: that it is the body's string."""
        text = answer.body.partition(b"\0")[0]
        if answer.outcome is not Outcome.SUCCESS or not 0 < len(text) <= _TICKET_CHARS_MAX:
            return ""
        return self._hasher(text.decode()) if text.isascii() else ""

    def _logged_out(self, asked: _Pending, call: Call) -> list[Message]:
        session = self._sessions.pop(call.guest_ticket or asked.handle, None)
        if session is None:
            session = _GuestSession(call.target, call.guest_user, call.guest_ticket, asked.handle)
        return [self._ended(session, call.operation, call.time_ns, call.end_ns)]

    def _ended(
        self, session: _GuestSession, operation: str, time_ns: int, end_ns: int
    ) -> GuestLogout:
        return GuestLogout(
            time_ns=time_ns,
            end_ns=end_ns,
            token=self._token,
            api=API,
            operation=operation,
            target=session.target,
            guest_user=session.user,
            ticket=session.ticket,
            handle=str(session.handle),
        )
