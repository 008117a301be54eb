"""One TLS session on several flows: the legs of a proxy that passes it on unopened (CONNECT).

Or one connection seen twice: in packets, and by a tap in the process at one of its ends. Its
transactions are the same bytes on each, so each would tell them again. They are told once, as
what they are: from the client of the first leg to the server of the last.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from decoders.message import CONNECTION, Message
from sensor.flows import Ends, Flow
from sensor.records import Tls

LEGS_MAX = 8  # proxies in a row; a site has one or two
MESSAGES_MAX = 65536  # of all sessions with several legs, remembered until their flows end
ALONE_MAX = 1024  # of a session with one leg: a tap is milliseconds behind its packets, or ahead


class Legs:
    """Flows of one session, in the order in which the server's answer passed them."""

    def __init__(self, flow: Flow) -> None:
        self.flows = [flow]
        self.front = self.back = flow  # where the client is, where the server is
        self.relays: set[str] = set()  # server of one leg and client of another
        self.said: OrderedDict[Message, dict[Flow, int]] = OrderedDict()
        self.settled = flow.tapped  # it was decrypted or tapped, or told that it stays sealed
        self.tls: Tls | None = None  # as the packets last showed it

    def add(self, flow: Flow) -> None:
        self.flows.append(flow)
        self.settled |= flow.tapped
        clients = {each.client_ip for each in self.flows}
        servers = {each.server_ip for each in self.flows}
        fronts = [each for each in self.flows if each.client_ip not in servers]
        backs = [each for each in self.flows if each.server_ip not in clients]
        # Where addresses do not tell, as of a relay that has several: the answer came this way.
        self.front = fronts[0] if _is_one(fronts) else self.flows[-1]
        self.back = backs[0] if _is_one(backs) else self.flows[0]
        self.relays = clients & servers

    def at(self, end: Flow, flow: Flow) -> Flow:
        """`flow`, if it is seen there too."""
        return flow if flow.ends == end.ends else end


def _is_one(flows: Sequence[Flow]) -> bool:
    """One connection, whether in packets, by a tap, or both."""
    return len({flow.ends for flow in flows}) == 1


class TlsLegs:
    def __init__(self, messages_max: int = MESSAGES_MAX, *, taps: bool = False) -> None:
        """With taps, what one leg says is remembered before another is known."""
        self._messages_max = messages_max
        self._expects_taps = taps
        self._sessions: dict[str, Legs] = {}
        self._identity: dict[Flow, str] = {}
        self._packets: dict[Ends, Flow] = {}  # flows of packets with a session
        self._taps: dict[Ends, str] = {}  # identities of tapped ones
        self._messages = 0
        self.shed = 0

    def seen(self, flow: Flow, identity: str) -> Legs | None:
        """The flow carries this session; its legs, when this one is new and not the first."""
        if self._taps and not flow.tapped:
            identity = self._taps.get(flow.ends, identity)
        if not identity or self._identity.get(flow) == identity:
            return None
        self.end(flow)
        legs = self._sessions.get(identity)
        if legs is None:
            self._sessions[identity] = Legs(flow)
        elif flow in legs.flows or len(legs.flows) >= LEGS_MAX:
            return None
        else:
            legs.add(flow)
        self._identity[flow] = identity
        if not flow.tapped:
            self._packets[flow.ends] = flow
        return legs

    def tapped(self, flow: Flow) -> Legs | None:
        """A tap sees what is inside; its legs, if packets of the same connection are seen, too."""
        if flow not in self._identity and flow.is_placed:
            packets = self._packets.get(flow.ends)
            identity = self._identity[packets] if packets is not None else f"tap {flow.uid}"
            self._taps.setdefault(flow.ends, identity)
            self.seen(flow, self._taps[flow.ends])
        return self.of(flow)

    def session(self, flow: Flow) -> Legs | None:
        """The session that the flow carries, if its hellos were seen."""
        return self._sessions.get(self._identity.get(flow, ""))

    def of(self, flow: Flow) -> Legs | None:
        """The legs of the flow's session; None when it has this one only, and no tap may come."""
        legs = self.session(flow)
        return legs if legs is not None and (len(legs.flows) > 1 or self._expects_taps) else None

    @staticmethod
    def unified(legs: Legs, flow: Flow, message: Message) -> Message:
        """A session that is its connection is the same one on every leg."""
        own, one = f"{CONNECTION}{flow.uid}", f"{CONNECTION}{legs.flows[0].uid}"
        changes: dict[str, Any] = {}
        for each in fields(message) if own != one else ():
            value = getattr(message, each.name)
            if value == own:
                changes[each.name] = one
            elif isinstance(value, tuple) and own in value:
                changes[each.name] = tuple(one if item == own else item for item in value)
        return replace(message, **changes) if changes else message

    def repeats(self, legs: Legs, flow: Flow, message: Message) -> bool:
        """Did another leg say this before? As often as there, if the client says a thing twice."""
        content = replace(message, time_ns=0, end_ns=0)
        counts = legs.said.get(content)
        if counts is None:
            counts = legs.said[content] = {}
            self._messages += 1
            self._trim(legs)
        told = max(counts.values(), default=0)
        counts[flow] = counts.get(flow, 0) + 1
        return counts[flow] <= told

    def end(self, flow: Flow) -> None:
        """The flow carries its session no more; what it said counts while another leg lives."""
        identity = self._identity.pop(flow, "")
        if self._packets.get(flow.ends) == flow:
            del self._packets[flow.ends]
        if flow.tapped:
            self._taps.pop(flow.ends, None)
        legs = self._sessions.get(identity)
        if legs is not None and all(self._identity.get(each) != identity for each in legs.flows):
            del self._sessions[identity]
            self._messages -= len(legs.said)

    def _trim(self, legs: Legs) -> None:
        alone = len(legs.flows) == 1 and len(legs.said) > ALONE_MAX
        if alone or self._messages > self._messages_max:
            legs.said.popitem(last=False)
            self._messages -= 1
            self.shed += not alone
