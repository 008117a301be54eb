"""What the receivers that speak HTTP/1.1 have in common: kept connections, gzip, TLS, a store."""

import argparse
import gc
import gzip
import json
import os
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


Response = tuple[int, Any]  # status, what becomes JSON
Respond = Callable[[Request], Response]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", required=True)
    parser.add_argument("--cert", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--body-bytes-max", type=int, default=1 << 30, help="beyond: 413")
    parser.add_argument("--busy", type=int, default=0, help="so many requests are turned away")
    return parser


class Store:
    """A file of lines; what is in it outlives the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, documents: list[Any]) -> None:
        lines = "".join(json.dumps(each) + "\n" for each in documents)
        os.write(self._file, lines.encode())

    def add_line(self, document: bytes) -> None:
        os.write(self._file, document + b"\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one segment for head and body
    server: "Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        options = self.server.options
        if len(body) > options.body_bytes_max:
            self.answer((413, {"error": "Payload Too Large"}))
        elif options.busy:
            options.busy -= 1
            self.answer(self.server.busy)
        else:
            self.answer(self.server.respond(self.request_of("POST", body)))

    def do_GET(self) -> None:
        self.answer(self.server.respond(self.request_of("GET", b"")))

    def request_of(self, method: str, body: bytes) -> Request:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(method, url.path, parse_qs(url.query), headers, body)

    def answer(self, response: Response) -> None:
        status, document = response
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options: argparse.Namespace, respond: Respond, busy: Response) -> None:
        self.options = options
        self.respond = respond
        self.busy = busy
        self.tls: ssl.SSLContext | None = None
        if options.cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(options.cert, options.key)
        super().__init__(("127.0.0.1", options.port), Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if self.tls is not None:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except (ssl.SSLError, ConnectionError) as error:
            print(f"{client_address}: {error}", file=sys.stderr)


def serve(options: argparse.Namespace, respond: Respond, busy: Response) -> None:
    gc.disable()  # a request is thousands of dicts, in no cycle
    with Server(options, respond, busy) as server:
        print("listening", server.server_address[1], flush=True)
        server.serve_forever()
