"""A Fluent Forward server after the specification, that stores before it acknowledges.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1 , and Fluent Bit's manners:
a nonce that is a str of random bytes, a connection closed where PONG should say no.
"""

import argparse
import gzip
import hashlib
import json
import os
import socketserver
import ssl
import struct
import sys
from collections.abc import Iterator
from typing import Any

import msgpack

CHUNK_BYTES_MAX = 2 << 20  # a small buffer of Fluent Bit's in_forward
OPTIONS = argparse.Namespace()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", required=True)
    parser.add_argument("--shared-key", default="")
    parser.add_argument("--user", default="", help="NAME:PASSWORD")
    parser.add_argument("--manners", default="fluentd", choices=("fluentd", "fluent-bit"))
    parser.add_argument("--never-acknowledge", action="store_true")
    parser.add_argument("--impostor", action="store_true", help="says yes without knowing the key")
    parser.add_argument("--silent", action="store_true", help="does not greet")
    parser.add_argument("--cert", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--ca", default="", help="of clients, whose certificates are wanted")
    return parser.parse_args()


def sha512(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()


def text(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=1 << 28)
        if OPTIONS.silent:
            self.request.recv(1)
            return
        if OPTIONS.shared_key and not self.trusts():
            return
        for message in self.messages():
            self.take(message)

    def messages(self) -> Iterator[Any]:
        while True:
            try:
                data = self.request.recv(1 << 18)
            except (ConnectionError, ssl.SSLError):
                return
            if not data:
                return
            self.unpacker.feed(data)
            yield from self.unpacker

    def trusts(self) -> bool:
        """HELO, PING, PONG."""
        # Fluent Bit offers a salt for passwords also where it has no users.
        wants_user = OPTIONS.user or OPTIONS.manners == "fluent-bit"
        nonce, auth = os.urandom(16), os.urandom(16) if wants_user else b""
        # Bytes that are never UTF-8, in what the format calls a str: 0xb0 is its head, 16 bytes.
        nonce = b"\xff\xfe" + nonce[2:]
        packed = b"\xb0" + nonce if OPTIONS.manners == "fluent-bit" else msgpack.packb(nonce)
        self.request.sendall(
            b"\x92\xa4HELO\x83\xa5nonce" + packed + b"\xa4auth" + msgpack.packb(auth)
            + b"\xa9keepalive\xc3"
        )  # fmt: skip
        message = next(self.messages(), None)
        if message is None:
            return False
        assert message[0] == b"PING" and len(message) == 6
        _, hostname, salt, digest, username, password = message
        reason = ""
        if digest.decode() != sha512(salt, hostname, nonce, OPTIONS.shared_key.encode()):
            reason = "shared_key mismatch"
        elif OPTIONS.user:
            name, _, secret = OPTIONS.user.partition(":")
            expected = sha512(auth, name.encode(), secret.encode())
            if username != name.encode() or password.decode() != expected:
                reason = "username/password mismatch"
        if OPTIONS.impostor:
            reason = ""
        if reason and OPTIONS.manners == "fluent-bit":
            return False
        key = b"guessed" if OPTIONS.impostor else OPTIONS.shared_key.encode()
        proof = "" if reason else sha512(salt, b"receiver.test", nonce, key)
        self.request.sendall(msgpack.packb(["PONG", not reason, reason, "receiver.test", proof]))
        return not reason

    def take(self, message: Any) -> None:
        """Store what a message of any mode has, then acknowledge its chunk."""
        tag, second = message[0], message[1]
        if isinstance(second, bytes):
            assert len(second) <= CHUNK_BYTES_MAX
            option = message[2] if len(message) > 2 else {}
            if option.get(b"compressed") == b"gzip":
                second = gzip.decompress(second)
            stream = msgpack.Unpacker(strict_map_key=False, max_buffer_size=1 << 28)
            stream.feed(second)
            entries = list(stream)
            assert option.get(b"size") == len(entries)
        elif isinstance(second, list):
            option = message[2] if len(message) > 2 else {}
            entries = second
        else:
            option = message[3] if len(message) > 3 else {}
            entries = [[second, message[2]]]
        lines = [
            {"tag": tag.decode(), "time": time_of(when), "record": plain(record)}
            for when, record in entries
        ]
        data = "".join(json.dumps(line) + "\n" for line in lines)
        os.write(STORE, data.encode())
        if b"chunk" in option and not OPTIONS.never_acknowledge:
            self.request.sendall(msgpack.packb({"ack": option[b"chunk"]}, use_bin_type=False))


def time_of(value: Any) -> list[int]:
    if isinstance(value, msgpack.ExtType):
        assert value.code == 0
        return list(struct.unpack(">II", value.data))
    assert isinstance(value, int)
    return [value, 0]


def plain(value: Any) -> Any:
    """Names and texts of a message that was unpacked raw."""
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if TLS is not None:
                request = TLS.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except (ssl.SSLError, ConnectionError) as error:
            print(f"{client_address}: {error}", file=sys.stderr)


def tls() -> ssl.SSLContext | None:
    if not OPTIONS.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(OPTIONS.cert, OPTIONS.key)
    if OPTIONS.ca:
        context.load_verify_locations(OPTIONS.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


if __name__ == "__main__":
    OPTIONS = arguments()
    STORE = os.open(OPTIONS.store, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    TLS = tls()
    with Server(("127.0.0.1", OPTIONS.port), Handler) as server:
        print("listening", server.server_address[1], flush=True)
        server.serve_forever()
