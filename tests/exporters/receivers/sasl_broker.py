"""A Kafka broker as far as the door: it offers SASL, and believes nobody.

https://kafka.apache.org/protocol: ApiVersions, SaslHandshake, SaslAuthenticate.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
OFFERED = ((0, 0, 8), (3, 0, 4), (17, 0, 1), (18, 0, 0), (22, 0, 1), (36, 0, 0))
UNSUPPORTED_VERSION, SASL_AUTHENTICATION_FAILED = 35, 58
MECHANISMS = ("PLAIN", "SCRAM-SHA-512")


@contextmanager
def unbelieving_broker(said: str) -> Iterator[int]:
    """Its port. `said` is why it lets nobody in."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, said))
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _serve(listener: socket.socket, said: str) -> None:
    with suppress(OSError):  # the end of the test
        while True:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError, EOFError):
                while True:
                    _answer(connection, said)


def _answer(connection: socket.socket, said: str) -> None:
    [size] = struct.unpack(">i", _exactly(connection, 4))
    key, version, correlation = struct.unpack(">hhi", _exactly(connection, size)[:8])
    if key == API_VERSIONS:
        error = UNSUPPORTED_VERSION if version else 0
        body = struct.pack(">hi", error, len(OFFERED))
        body += b"".join(struct.pack(">hhh", *each) for each in OFFERED)
    elif key == SASL_HANDSHAKE:
        body = struct.pack(">hi", 0, len(MECHANISMS)) + b"".join(map(_string, MECHANISMS))
    else:
        assert key == SASL_AUTHENTICATE, "nothing else is asked before the door is open"
        body = struct.pack(">h", SASL_AUTHENTICATION_FAILED) + _string(said) + bytes(4)
    reply = struct.pack(">i", correlation) + body
    connection.sendall(struct.pack(">i", len(reply)) + reply)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data
