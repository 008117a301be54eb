"""HTTP/2 between two ends in memory (python-hyper's h2), piece by piece, for any flow to carry.

talk = Http2Talk()
stream = talk.ask([(":method", "GET"), ...], body)
talk.answer(stream, [(":status", "200")], body)
talk.pieces -> (from the client, bytes) in the order sent
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.settings

from tests.conversation import Conversation

Fields = Sequence[tuple[str, str]]
Piece = tuple[bool, bytes]
WINDOW_BYTES = 1 << 24


def get(path: str, *fields: tuple[str, str]) -> Fields:
    return _request("GET", path, fields)


def post(path: str, *fields: tuple[str, str]) -> Fields:
    return _request("POST", path, fields)


def _request(method: str, path: str, fields: Iterable[tuple[str, str]]) -> Fields:
    start = [(":method", method), (":scheme", "http"), (":authority", "vc.example.test")]
    return [*start, (":path", path), *fields]


class Http2Talk:
    """Every step of either end is a piece; flow control never stands in the way."""

    def __init__(self, table_bytes: int = 4096, *, upgrade: bool = False) -> None:
        self.settings = ""  # HTTP2-Settings of an upgrade, whose request is stream 1
        self.pieces: list[Piece] = []
        self._resized: set[h2.connection.H2Connection] = set()
        self.client, self.server = (
            h2.connection.H2Connection(
                h2.config.H2Configuration(client_side=client_side, header_encoding="utf-8")
            )
            for client_side in (True, False)
        )
        for end in (self.client, self.server):
            end.local_settings = h2.settings.Settings(
                client=end is self.client,
                initial_values={
                    h2.settings.SettingCodes.HEADER_TABLE_SIZE: table_bytes,
                    h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
                    h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
                },
            )
            end.decoder.max_allowed_table_size = table_bytes
            if upgrade:
                said = end.initiate_upgrade_connection(self.settings.encode() or None)
                self.settings = self.settings or (said or b"").decode()
            else:
                end.initiate_connection()
            end.increment_flow_control_window(WINDOW_BYTES)
        self._carry()

    def _carry(self) -> None:
        """What either end has to say goes to the other until both are silent."""
        while True:
            said = self.client.data_to_send()
            answered = self.server.data_to_send()
            if said:
                self.pieces.append((True, said))
                self.server.receive_data(said)
            if answered:
                self.pieces.append((False, answered))
                self.client.receive_data(answered)
            if not said and not answered:
                return

    def begin(self, fields: Fields, *, ends: bool) -> int:
        """A request without its body; the number of its stream."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, fields, end_stream=ends)
        self._resized.discard(self.server)
        self._carry()
        return stream

    def say(self, stream: int, content: bytes, *, ends: bool, padding: int | None = None) -> None:
        self.client.send_data(stream, content, end_stream=ends, pad_length=padding)
        self._carry()

    def ask(self, fields: Fields, body: bytes = b"") -> int:
        stream = self.begin(fields, ends=not body)
        if body:
            self.say(stream, body, ends=True)
        return stream

    def head(self, stream: int, fields: Fields, *, ends: bool = False) -> None:
        self.server.send_headers(stream, fields, end_stream=ends)
        self._resized.discard(self.client)
        self._carry()

    def tell(self, stream: int, content: bytes, *, ends: bool, padding: int | None = None) -> None:
        self.server.send_data(stream, content, end_stream=ends, pad_length=padding)
        self._carry()

    def answer(self, stream: int, fields: Fields, body: bytes = b"") -> None:
        self.head(stream, fields, ends=not body)
        if body:
            self.tell(stream, body, ends=True)

    def resize_table(self, by_server: bool, table_bytes: int) -> None:
        """Between two blocks of the other end once: h2 does not say a second change correctly."""
        end = self.server if by_server else self.client
        if end in self._resized:
            return
        self._resized.add(end)
        end.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: table_bytes})
        self._carry()

    def on(self, flow: Conversation) -> Conversation:
        for by_client, content in self.pieces:
            (flow.say if by_client else flow.answer)(content)
        return flow


@dataclass(slots=True)
class Exchange:
    """A request and its response, planned."""

    path: str
    asked: bytes
    answered: bytes
    status: int
    cookie: str
    stream: int = 0
    said: int = 0  # bytes of the request's body that are on their way
    told: int = 0
    headed: bool = False


@dataclass(slots=True)
class Plan:
    """Exchanges at once on one connection, in an order that chance decides."""

    chance: random.Random
    exchanges: list[Exchange] = field(default_factory=list)

    def run(self, talk: Http2Talk, at_once: int = 12) -> None:
        waiting, running = list(self.exchanges), list[Exchange]()
        while waiting or running:
            if waiting and len(running) < at_once and self.chance.random() < 0.4:
                running.append(each := waiting.pop(0))
                fields = post(each.path, *_crumbs(each.cookie), ("x-number", each.path))
                each.stream = talk.begin(fields, ends=not each.asked)
            elif running:
                each = self.chance.choice(running)
                if self._goes_on(talk, each):
                    running.remove(each)
            if self.chance.random() < 0.02:
                talk.resize_table(self.chance.random() < 0.5, self.chance.randrange(0, 8192))

    def _goes_on(self, talk: Http2Talk, each: Exchange) -> bool:
        """One step of an exchange; True when that was its last."""
        padding = self.chance.choice((None, None, 0, 9))
        if each.said < len(each.asked):
            part = each.asked[each.said : each.said + self.chance.randrange(1, 5000)]
            each.said += len(part)
            talk.say(each.stream, part, ends=each.said == len(each.asked), padding=padding)
            return False
        if not each.headed:
            each.headed = True
            if self.chance.random() < 0.2:
                talk.head(each.stream, [(":status", "103"), ("link", "</x>")])
            head = [(":status", str(each.status)), ("x-answer", each.path)]
            talk.head(each.stream, head, ends=not each.answered)
            return not each.answered
        part = each.answered[each.told : each.told + self.chance.randrange(1, 5000)]
        each.told += len(part)
        talk.tell(each.stream, part, ends=each.told == len(each.answered), padding=padding)
        return each.told == len(each.answered)


def _crumbs(cookie: str) -> list[tuple[str, str]]:
    return [("cookie", crumb) for crumb in cookie.split("; ")]


def plan(seed: int, exchanges: int, long_bytes: int = 40_000) -> Plan:
    chance = random.Random(seed)
    made = [
        Exchange(
            f"/api/{number}",
            chance.randbytes(chance.choice((0, 1, long_bytes // 50, long_bytes // 2))),
            chance.randbytes(chance.choice((0, 1, long_bytes // 50, long_bytes))),
            chance.choice((200, 204, 404, 500)),
            "; ".join(f"c{crumb}={number}" for crumb in range(chance.randrange(1, 4))),
        )
        for number in range(exchanges)
    ]
    return Plan(chance, made)
