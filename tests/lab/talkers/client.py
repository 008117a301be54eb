"""Sends texts over TLS and takes them back: client.py PORT SIZE... once its standard input says so.

The connection is a thread's, as the first one is seldom the one that speaks.
"""

import os
import socket
import ssl
import sys
import threading


def text(number: int, size: int) -> bytes:
    words = b"".join(b"%04d-%08d " % (number, at) for at in range(size // 14 + 1))
    return words[:size]


def talk(port: int, number: int, sizes: list[int]) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version := os.environ.get("TAPPED_TLS"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    if log := os.environ.get("TAPPED_KEYS"):
        context.keylog_filename = log
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as tls:
        for size in sizes:
            tls.sendall(b"%d\n" % size)
            tls.sendall(text(number, size))
            left = size
            while left:
                left -= len(tls.recv(left))


def main() -> None:
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        arguments = int(line), number, [int(size) for size in sys.argv[1:]]
        thread = threading.Thread(target=talk, args=arguments)
        thread.start()
        thread.join()
        print("done", flush=True)


if __name__ == "__main__":
    main()
