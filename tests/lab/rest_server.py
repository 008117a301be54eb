"""A small HTTP/1.1 server of JSON, for the services of the lab that no package serves."""

import json
import ssl
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.lab.levels import TLS_PEM


class Asked(NamedTuple):
    method: str
    path: str  # without query
    headers: Mapping[str, str]
    body: Any  # of JSON


class Answer(NamedTuple):
    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


class Refused(Exception):
    """Raised where a request is read; becomes its answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.answer = Answer(status, {"error": {"code": status, "title": "refused"}})


def serve(address: str, port: int, answer: Callable[[Asked], Answer]) -> None:
    """Until the process ends. Prints a line once it listens."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one segment
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = self.path.partition("?")[0]
            try:
                given = answer(Asked(self.command, path, headers, json.loads(data or b"null")))
            except Refused as refused:
                given = refused.answer
            body = b"" if given.body is None else json.dumps(given.body).encode()
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            if body:
                self.send_header("Content-Type", given.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _serve

    server = ThreadingHTTPServer((address, port), Handler)
    if TLS_PEM:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS_PEM)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"http://{address}:{port}", flush=True)
    server.serve_forever()
