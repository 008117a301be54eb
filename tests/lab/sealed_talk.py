"""A server and a client of sealed connections: HTTPS, and vmware-authd's TCP 902 with what follows.

    python -m tests.lab.sealed_talk server ADDRESS CERTIFICATE KEY
    python -m tests.lab.sealed_talk client ADDRESS [PORT]

The client talks in rounds with pauses, so that a listener can follow, and always from one port: a
connection ends by a reset, so that the next one may begin at once.
"""

import socket
import ssl
import struct
import sys
import threading
import time
from contextlib import suppress

PORTS = HTTPS, AUTHD, AUTHD_IN_CLEAR = 443, 902, 912
CLIENT_PORT = 40123
NAMES = ("first.test", "second.test")  # of two connections with the same 5-tuple
ROUNDS = 5
ROUND_BYTES = 1 << 20
PAUSE_S = 0.06
BANNER = b"220 VMware Authentication Daemon Version 1.10: SSL Required\r\n"
ASK = b"more"
NFC_FILE_DATA, NFC_PING, NFC_MESSAGE_BYTES, NFC_DATA_MAGIC = 7, 8, 264, 0xABCDEFAB
PING = struct.pack("<I", NFC_PING).ljust(NFC_MESSAGE_BYTES, b"\0")


def nfc_data() -> bytes:
    """A classic message of a round of file data."""
    message = struct.pack("<I", NFC_FILE_DATA).ljust(NFC_MESSAGE_BYTES, b"\0")
    header = struct.pack("<II", NFC_DATA_MAGIC, ROUND_BYTES)
    return message + header + b"\x7f" * ROUND_BYTES


def answer(connection: socket.socket, what: bytes, asked: bytes = ASK) -> None:
    while connection.recv(len(asked)) == asked:
        connection.sendall(what)


def serve(connection: socket.socket, port: int, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        if port != HTTPS:
            connection.sendall(BANNER)
        inside = context.wrap_socket(connection, server_side=True)
        if port == HTTPS:
            return answer(inside, b"x" * ROUND_BYTES)
        inside.recv(1024)
        inside.sendall(b"200 Connect localhost:nfc\r\n")
        bare = inside.unwrap()
        if port == AUTHD_IN_CLEAR:
            return answer(bare, nfc_data(), PING)
        answer(context.wrap_socket(bare, server_side=True), b"x" * ROUND_BYTES)


def server(address: str, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def accept(listener: socket.socket, port: int) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, port, context)).start()

    for port in PORTS:
        listener = socket.create_server((address, port))
        threading.Thread(target=accept, args=(listener, port)).start()


def ask(connection: socket.socket, round_bytes: int, asking: bytes = ASK) -> None:
    for _ in range(ROUNDS):
        connection.sendall(asking)
        left = round_bytes
        while left:
            left -= len(connection.recv(min(left, 1 << 16)))
        time.sleep(PAUSE_S)


def talk(address: str, port: int, name: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.bind(("", CLIENT_PORT))
    raw.connect((address, port))
    if port != HTTPS:
        raw.recv(len(BANNER), socket.MSG_WAITALL)
    inside = context.wrap_socket(raw, server_hostname=name)
    if port == HTTPS:
        ask(inside, ROUND_BYTES)
        return inside.close()
    inside.sendall(b"PROXY nfc\r\n")
    inside.recv(1024)
    bare = inside.unwrap()
    if port == AUTHD_IN_CLEAR:
        ask(bare, len(nfc_data()), PING)
        return bare.close()
    again = context.wrap_socket(bare, server_hostname=name)
    ask(again, ROUND_BYTES)
    again.close()


def client(address: str, *ports: str) -> None:
    for port in map(int, ports or PORTS):
        for name in NAMES:
            talk(address, port, name)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(*sys.argv[2:])
    else:
        client(*sys.argv[2:])
