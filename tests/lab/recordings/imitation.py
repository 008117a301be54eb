"""An imitation of a server: what its published API answers, for real clients to talk to.

python -m tests.lab.recordings.imitation NAME PORT [DIRECTORY]     with a certificate there: TLS
"""

import importlib
import json
import ssl
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    method: str
    path: str  # without query
    query: str
    headers: Any  # email.message.Message, whose names compare without case
    body: bytes
    connection: dict[str, Any]  # what a server remembers of a connection

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def form(self) -> dict[str, str]:
        pairs = parse_qs(self.body.decode(), keep_blank_values=True)
        return {name: values[0] for name, values in pairs.items()}


@dataclass
class Answer:
    body: Any = b""  # bytes, or what becomes JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Imitation"

    def setup(self) -> None:
        super().setup()
        self.remembered: dict[str, Any] = {}

    def _respond(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, url.path, url.query, self.headers, body, self.remembered)
        answer: Answer = self.server.answer(asked)
        is_raw = isinstance(answer.body, bytes)
        content = answer.body if is_raw else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not is_raw:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


class Imitation(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, answer: Any) -> None:
        super().__init__(("0.0.0.0", port), Handler)
        self.answer = answer


def main() -> None:
    name, port, *directory = sys.argv[1:]
    module = importlib.import_module(f"tests.lab.recordings.{name}")
    server = Imitation(int(port), module.answer)
    if directory:
        below = Path(directory[0])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(below / "servercert.pem", below / "serverkey.pem")
        context.keylog_filename = str(below.parent / "keys.log")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
