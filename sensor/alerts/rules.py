"""What an action, a login or a message shows that an analyst should look at.

Few, each once per session or source, and each can be switched off: a reason is the name of its
setting in [alerts]. What is unknown is no alert.
"""

from collections.abc import Iterable, Iterator

from decoders.message import GuestLogin, Login, LoginMethod, Message, OperationClass, Outcome
from sensor.alert_settings import AlertSettings
from sensor.alerts.memory import SECOND, DiskAccounts, Guessing, Once
from sensor.alerts.reuse import reuse
from sensor.correlate import chains
from sensor.correlate.actions import Action, Pair
from sensor.correlate.keys import is_background
from sensor.correlate.passed import Origin, Request, origin_of
from sensor.recording import Sighting
from sensor.records import Record, path_of
from sensor.services import VPX_USER, Services
from sensor.sessions import End, Session

KEY_CONFLICT = "key_conflict"  # hard keys name different parents
REQUEST_ID_REUSED = "request_id_reused"
TOKEN_AFTER_END = "token_after_logout"
SESSION_MOVED = "session_from_two_addresses"
BACKGROUND_ID = "background_operation_id"  # a client's call posing as a service's own work
TICKET_REUSED = "ticket_reused"
GUESSING = "password_guessing"
GUESSED = "password_guessed"
SCANNER = "scanner"
VPXUSER_ELSEWHERE = "vpxuser_elsewhere"
ACCOUNT_ELSEWHERE = "service_account_elsewhere"
DIRECT_HOST_LOGIN = "direct_host_login"
GUEST_OPERATION = "guest_operation"
GUEST_IN_CLEAR = "guest_credentials_unencrypted"
UNUSUAL_DISK = "unusual_disk_access"
NEW_HOST = "new_host"
BUILD_CHANGED = "host_build_changed"
VCENTER_CHANGED = "host_vcenter_changed"

ROOT = "root"
EVERYWHERE = "all"
# What somebody may try one after the other; certificates and clone tickets are not.
_GUESSABLE = frozenset(
    {LoginMethod.PASSWORD, LoginMethod.BASIC, LoginMethod.SSPI, LoginMethod.TICKET}
)
_NFC_APIS = ("authd", "nfc")
# nmap's vmware-version script (PROTOCOLS section 6.1), and what its HTTP library calls itself.
_NMAP_OPERATION_ID = "00000001-00000001"
_NMAP_AGENT = "Nmap Scripting Engine"

Shown = tuple[str, str]  # reason, and what it is about


class Alerts:
    def __init__(self, settings: AlertSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._once = Once()
        self._guessing = Guessing(settings.guessing_failures, settings.guessing_window_s * SECOND)
        self._disks = DiskAccounts(settings.disk_accounts, settings.disk_learning_s * SECOND)
        self._denied = {name.casefold() for name in settings.guest_operations_denied}

    @property
    def shed(self) -> int:
        return self._once.shed + self._guessing.shed + self._disks.shed

    def begin(self, time_ns: int) -> None:
        """Packet time begins; later calls change nothing."""
        self._disks.begin(time_ns)

    def wanted(self, shown: Iterable[Shown]) -> list[Shown]:
        return [each for each in shown if getattr(self._settings, each[0])]

    def of_action(self, action: Action, session: Session | None, record: Record) -> list[Shown]:
        """Of an action that is being recorded for the first time."""
        shown = [*self._session_shown(action, session), *self._guest(action, record)]
        if action.is_reuse:
            shown.append((TICKET_REUSED, action.call.ticket))
        if action.login is not None:
            shown += self._tried(action.login, record.source.ip, _place(record))
        shown += self._disk(action)
        return self.wanted(shown)

    def of_verdict(self, action: Action) -> list[Shown]:
        """Hard keys that contradict each other: also how a replayed id looks."""
        verdict = action.verdict
        if verdict is None or not verdict.conflict or action.conflict_said:
            return []
        action.conflict_said = True
        if verdict.alone:  # told of once its other sender is known
            return []
        return self.wanted([(KEY_CONFLICT, " ".join(action.asks))])

    def of_passed_id(
        self, action: Action, identity: str, request: Request, others: Iterable[Origin]
    ) -> list[Shown]:
        """The action brought a request's id to its server, as `others` did before."""
        own = origin_of(action)
        found = reuse(self._services, action.server, request, own, others)
        if found is None:
            return []
        if not self._once.first((REQUEST_ID_REUSED, found.stranger, action.server)):
            return []
        sides = "; ".join(f"{each.client} {each.account}" for each in found.sides)
        return self.wanted([(REQUEST_ID_REUSED, f"{identity}: {sides}")])

    def of_login(self, message: Login, at: Sighting, redeemed: int) -> list[Shown]:
        """`redeemed`: how often its ticket was used before."""
        shown: list[Shown] = []
        if message.ticket and redeemed:
            shown.append((TICKET_REUSED, message.ticket))
        place = f"{at.flow.server_ip} {at.flow.server_port}"
        shown += self._tried(message, at.client_ip, place)
        shown += self._past_vcenter(message, at)
        shown += self._elsewhere(message.user or message.claimed, at.client_ip)
        return self.wanted(shown)

    def of_guest_login(self, message: GuestLogin, record: Record) -> list[Shown]:
        if message.outcome is not Outcome.FAILURE:
            return []
        place = f"{record.to.ip} {message.target.id}"
        user, client = message.guest_user, record.source.ip
        return self.wanted(self._guessed(client, place, user, message.end_ns))

    def of_message(self, message: Message, at: Sighting) -> list[Shown]:
        """A client that says that it is a scanner."""
        tell = ""
        if message.operation_id == _NMAP_OPERATION_ID:
            tell = f"nmap: operationID {_NMAP_OPERATION_ID}"
        elif _NMAP_AGENT in message.user_agent:
            tell = f"nmap: {_NMAP_AGENT}"
        if not tell or not self._once.first((SCANNER, at.client_ip)):
            return []
        return self.wanted([(SCANNER, tell)])

    def _session_shown(self, action: Action, session: Session | None) -> Iterator[Shown]:
        call, services = action.call, self._services
        if not services.of_client(action.client) and is_background(call.operation_id):
            yield BACKGROUND_ID, call.operation_id
        if session is None:
            return
        ended = session.end in (End.LOGOUT, End.TERMINATED) and call.time_ns > session.ended_ns
        if ended and _first(session, TOKEN_AFTER_END):
            yield TOKEN_AFTER_END, session.end
        if services.is_proxy(session.client_ip):
            session.client_ip = action.client  # it was first seen behind the proxy
        if _moved(session.client_ip, action.client, services) and _first(session, SESSION_MOVED):
            yield SESSION_MOVED, f"{session.client_ip} {action.client}"
        yield from self._elsewhere(session.user, action.client)
        if session.user == VPX_USER and self._is_vpxuser_elsewhere(action.server, action.client):
            yield VPXUSER_ELSEWHERE, action.client

    def _guest(self, action: Action, record: Record) -> Iterator[Shown]:
        if action.call.operation_class is not OperationClass.GUEST:
            return
        target = record.target
        places = {EVERYWHERE, target.name.casefold(), target.id.casefold(), action.server} - {""}
        asker = action.session or action.client
        if self._denied & places and self._once.first(
            (GUEST_OPERATION, asker, action.server, target.id)
        ):
            yield GUEST_OPERATION, target.name or target.id or action.server
        shows = action.call.guest_user or action.call.guest_ticket
        in_clear = action.visibility == "clear"
        if shows and in_clear and self._once.first((GUEST_IN_CLEAR, action.client, action.server)):
            yield GUEST_IN_CLEAR, action.guest

    def _disk(self, action: Action) -> Iterator[Shown]:
        call = action.call
        through_nfc = (
            call.api in _NFC_APIS
            or call.operation.startswith(("Nfc", "Export"))
            or call.operation.endswith(" /nfc")
        )
        if call.operation_class is not OperationClass.DISK or not through_nfc:
            return
        service, user = _account(chains.stated(action.paths).pairs)
        if self._disks.is_unusual(service, user, call.time_ns):
            yield UNUSUAL_DISK, path_of([(service, user)])

    def _tried(self, login: Login, client: str, place: str) -> Iterator[Shown]:
        user = login.claimed or login.user
        if login.method not in _GUESSABLE:
            return
        if login.outcome is Outcome.FAILURE:
            yield from self._guessed(client, place, user, login.end_ns)
            return
        was_guessing = self._guessing.has_told(client, login.end_ns)
        if login.outcome is not Outcome.SUCCESS or not was_guessing:
            return
        if self._once.first((GUESSED, client, place, user)):
            yield GUESSED, user

    def _guessed(self, client: str, place: str, user: str, time_ns: int) -> Iterator[Shown]:
        if self._services.is_proxy(client):
            return  # many people, each of whom mistypes
        said = self._guessing.failed(client, place, user, time_ns)
        if said:
            yield GUESSING, said

    def _elsewhere(self, user: str, client: str) -> Iterator[Shown]:
        if self._services.is_elsewhere(user, client) and self._once.first(
            (ACCOUNT_ELSEWHERE, client, user)
        ):
            yield ACCOUNT_ELSEWHERE, user

    def _past_vcenter(self, login: Login, at: Sighting) -> Iterator[Shown]:
        user = login.user or login.claimed
        server, client = at.flow.server_ip, at.client_ip
        if login.method is LoginMethod.TICKET or user not in (ROOT, VPX_USER):
            return
        if user == VPX_USER:
            if self._is_vpxuser_elsewhere(server, client):
                yield VPXUSER_ELSEWHERE, client
            if self._settings.vpxuser_elsewhere:
                return
        is_host = self._services.of_server(server, at.flow.server_port) == "ESX"
        if not is_host or login.outcome is not Outcome.SUCCESS:
            return
        if self._services.is_stranger(server, client) and self._once.first(
            (DIRECT_HOST_LOGIN, client, server, user)
        ):
            yield DIRECT_HOST_LOGIN, user

    def _is_vpxuser_elsewhere(self, server: str, client: str) -> bool:
        return self._services.is_stranger(server, client) and self._once.first(
            (VPXUSER_ELSEWHERE, client, server)
        )


def _account(pairs: Iterable[Pair]) -> Pair:
    """The lowest account that is known: whose right it was done by."""
    return next((pair for pair in reversed(list(pairs)) if pair[1]), ("", ""))


def _place(record: Record) -> str:
    return f"{record.to.ip} {record.to.port}"


def _moved(before: str, now: str, services: Services) -> bool:
    if not before or before == now or services.is_proxy(now):
        return False
    service = services.of_client(before)
    return not service or service != services.of_client(now)


def _first(session: Session, reason: str) -> bool:
    if reason in session.alerts:
        return False
    session.alerts.append(reason)
    return True
