"""What an action or a login shows that an analyst should look at. Few, each once per session."""

from collections.abc import Iterator

from decoders.message import Login
from sensor.correlate.actions import Action
from sensor.correlate.keys import is_background
from sensor.services import Services
from sensor.sessions import End, Session

KEY_CONFLICT = "key_conflict"  # hard keys name different parents
TOKEN_AFTER_END = "token_after_logout"
SESSION_MOVED = "session_from_two_addresses"
BACKGROUND_ID = "background_operation_id"  # a client's call posing as a service's own work
TICKET_REUSED = "clone_ticket_reused"


def of_action(
    action: Action, session: Session | None, services: Services
) -> Iterator[tuple[str, str]]:
    """(reason, what it is about) of an action that is being recorded for the first time."""
    call = action.call
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


def of_verdict(action: Action) -> Iterator[tuple[str, str]]:
    """Hard keys that contradict each other: also how a replayed id looks."""
    if action.verdict is not None and action.verdict.conflict and not action.conflict_said:
        action.conflict_said = True
        yield KEY_CONFLICT, " ".join(action.asks)


def of_login(message: Login, redeemed: int) -> Iterator[tuple[str, str]]:
    """`redeemed`: how often its ticket was used before."""
    if message.ticket and redeemed:
        yield TICKET_REUSED, message.ticket


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
