"""What a decoder is: of transactions, of what the core framed on one flow, of datagrams."""

from collections.abc import Callable
from typing import Protocol

from decoders.message import Direction, Framed, Message, Rule, Transaction


class TransactionDecoder(Protocol):
    """Decodes framed transactions; sans-IO. One instance serves all flows, and keeps no state."""

    name: str

    def rules(self) -> list[Rule]: ...
    def token_headers(self) -> list[str]: ...
    def token_cookies(self) -> list[str]: ...
    def object_properties(self) -> list[str]:
        """Properties of managed objects that tell their identity, for Want.NEW_OBJECTS."""
        ...

    def claims(self, transaction: Transaction) -> bool:
        """Is this transaction of my protocol? Cheap; first claim wins."""
        ...

    def transaction(self, transaction: Transaction) -> list[Message]:
        """What it says. Raises DecodeError when the peer broke the protocol."""
        ...


class StreamDecoder(Protocol):
    """Decodes what the core framed on one flow; sans-IO. Made by a StreamDecoderFactory."""

    name: str

    def message(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        """What it says. Raises DecodeError when the peer broke the protocol: the flow is lost."""
        ...

    def gap(self, direction: Direction, size_bytes: int, time_ns: int) -> list[Message]:
        """Bytes are missing: what hung on them is given up, not guessed."""
        ...

    def tls(self, tls_session: int, is_open: bool, time_ns: int) -> list[Message]:
        """A TLS handshake began on the flow; `is_open`: its plaintext can be read."""
        ...

    def close(self, time_ns: int, to_server_bytes: int, to_client_bytes: int) -> list[Message]:
        """The flow is over; bytes of the whole flow, by direction."""
        ...


# A name for the flow's own session, which no token on the wire has, -> a decoder for the flow.
StreamDecoderFactory = Callable[[str], StreamDecoder]


class DatagramDecoder(Protocol):
    """Decodes UDP payloads of a port; sans-IO, no state."""

    name: str

    def datagram(self, payload: bytes, time_ns: int) -> list[Message]:
        """Raises DecodeError when it is no message of the protocol."""
        ...
