"""The same request seen twice: on its way to a proxy, and from there on to the server.

The leg behind the proxy ends first, since its answer has still to pass. Both carry the same token
and content, one lies within the other in time, and the proxy's address is server of one and client
of the other.
"""

from collections import OrderedDict
from typing import NamedTuple

from decoders.message import Call, Login, Logout, Message, ServerSeen
from sensor.flows import Flow
from sensor.records import Record

# A proxy gives up on its server within a minute (nginx proxy_read_timeout, haproxy's examples).
KEEP_NS = 60 * 10**9


Subject = int | Record | None  # what was made of it: an action, by number, or a record


class Leg(NamedTuple):
    flow: Flow
    time_ns: int
    end_ns: int
    subject: Subject


class Legs:
    def __init__(self, legs_max: int = 8192) -> None:
        self._legs_max = legs_max
        self.shed = 0
        self._legs: OrderedDict[tuple[object, ...], Leg] = OrderedDict()

    def __len__(self) -> int:
        return len(self._legs)

    def inner(self, flow: Flow, message: Message) -> Leg | None:
        """The leg behind the proxy that this flow leads to, if it was seen before."""
        key = _key(message)
        leg = self._legs.get(key) if key is not None else None
        if leg is None or key is None or leg.flow.client_ip != flow.server_ip:
            return None
        if not (message.time_ns <= leg.time_ns and leg.end_ns <= message.end_ns):
            return None
        # A further proxy in front would lead to this one.
        self._legs[key] = Leg(flow, message.time_ns, message.end_ns, leg.subject)
        return leg

    def keep(self, flow: Flow, message: Message, subject: Subject) -> None:
        key = _key(message)
        if key is not None:
            self._legs[key] = Leg(flow, message.time_ns, message.end_ns, subject)
            self._legs.move_to_end(key)
            self._trim(message.end_ns - KEEP_NS)

    def _trim(self, since_ns: int) -> None:
        while self._legs and self._legs[next(iter(self._legs))].end_ns < since_ns:
            self._legs.popitem(last=False)
        if len(self._legs) > self._legs_max:
            self._legs.popitem(last=False)
            self.shed += 1


def _key(message: Message) -> tuple[object, ...] | None:
    """What both legs of a request have in common, and hardly any other request."""
    if isinstance(message, Call):
        return (
            message.operation,
            message.token,
            message.operation_id,
            message.target.id,
            message.task,
            message.request_id,
        )
    if isinstance(message, Login):
        return (message.operation, message.token, message.claimed, message.new_tokens)
    if isinstance(message, Logout):
        return (message.operation, message.token, message.sessions)
    if isinstance(message, ServerSeen):
        return (message.service, message.user_agent, message.operation_id, message.instance)
    return None
