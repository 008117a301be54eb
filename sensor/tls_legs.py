"""One TLS session on several flows: the legs of a proxy that passes it on unopened (CONNECT).

Its transactions are the same bytes on each, so each would tell them again. They are told once, as
what they are: from the client of the first leg to the server of the last.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from decoders.message import Message
from sensor.flows import Flow

LEGS_MAX = 8  # proxies in a row; a site has one or two
MESSAGES_MAX = 65536  # of all sessions with several legs, remembered until their flows end


class Legs:
    """Flows of one session, in the order in which the server's answer passed them."""

    def __init__(self, flow: Flow) -> None:
        self.flows = [flow]
        self.front = self.back = flow  # where the client is, where the server is
        self.relays: set[str] = set()  # server of one leg and client of another
        self.said: OrderedDict[Message, dict[Flow, int]] = OrderedDict()
        self.settled = False  # it was decrypted, or told that it stays sealed

    def add(self, flow: Flow) -> None:
        self.flows.append(flow)
        clients = {each.client_ip for each in self.flows}
        servers = {each.server_ip for each in self.flows}
        fronts = [each for each in self.flows if each.client_ip not in servers]
        backs = [each for each in self.flows if each.server_ip not in clients]
        # Where addresses do not tell, as of a relay that has several: the answer came this way.
        self.front = fronts[0] if len(fronts) == 1 else self.flows[-1]
        self.back = backs[0] if len(backs) == 1 else self.flows[0]
        self.relays = clients & servers

    @property
    def others(self) -> Sequence[Flow]:
        """All but the one that leads to the server."""
        return [each for each in self.flows if each != self.back]


class TlsLegs:
    def __init__(self, messages_max: int = MESSAGES_MAX) -> None:
        self._messages_max = messages_max
        self._sessions: dict[str, Legs] = {}
        self._identity: dict[Flow, str] = {}
        self._messages = 0
        self.shed = 0

    def seen(self, flow: Flow, identity: str) -> Legs | None:
        """The flow carries this session; its legs, when this one is new and not the first."""
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
        return legs

    def session(self, flow: Flow) -> Legs | None:
        """The session that the flow carries, if its hellos were seen."""
        return self._sessions.get(self._identity.get(flow, ""))

    def of(self, flow: Flow) -> Legs | None:
        """The legs of the flow's session; None when it has this one only."""
        legs = self.session(flow)
        return legs if legs is not None and len(legs.flows) > 1 else None

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
        legs = self._sessions.get(identity)
        if legs is not None and all(self._identity.get(each) != identity for each in legs.flows):
            del self._sessions[identity]
            self._messages -= len(legs.said)

    def _trim(self, legs: Legs) -> None:
        if self._messages > self._messages_max:
            legs.said.popitem(last=False)
            self._messages -= 1
            self.shed += 1
