"""/metrics, /healthz and /readyz over HTTP, in threads of its own. Read only.

Health is "the process works": the main loop turns. Readiness is "the sensor sees and says": it
captures, and its outputs take records; a receiver that is away while its spool has room is a
warning.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import ClassVar

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from sensor.exits import OutputError, os_error_line
from sensor.metrics import Metrics
from sensor.process_metrics import ProcessMetrics
from sensor.settings import split_listen

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0  # a scrape sends its request in milliseconds
REQUESTS_MAX = 16  # at once; more are turned away
STALLED_S = 30.0  # a main loop that did not turn for this long is stuck


class Health:
    """What the main loop says of itself; read by the server's threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned = clock()
        self.capturing = False
        self.stopping = False
        self.watches: list[Callable[[], str]] = []  # each: what is wrong, or ""
        self.cares: list[Callable[[], str]] = []  # the same of what is not wrong enough yet

    def turn(self) -> None:
        """The main loop went round once more."""
        self._turned = self._clock()

    def unhealthy(self) -> list[str]:
        idle_s = self._clock() - self._turned
        return [f"the main loop stands still for {idle_s:.0f} s"] if idle_s > STALLED_S else []

    def unready(self) -> list[str]:
        reasons = self.unhealthy()
        if self.stopping:
            reasons.append("stopping")
        elif not self.capturing:
            reasons.append("not capturing yet")
        return reasons + [reason for watch in self.watches if (reason := watch())]

    def warnings(self) -> list[str]:
        return [warning for care in self.cares if (warning := care())]


class StatusServer:
    """Listens from the moment it is made; `close` ends it."""

    def __init__(self, listen: str, metrics: Metrics, health: Health) -> None:
        """Raises OutputError when the address cannot be had."""
        host, port = split_listen(listen)
        try:
            self._server = _Server(host, port, metrics, health)
        except OSError as error:
            raise OutputError(os_error_line(f"status.listen {listen}", error)) from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="status", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.health = health
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(metrics)
        self.registry.register(ProcessMetrics())
        self._slots = threading.BoundedSemaphore(REQUESTS_MAX)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the host's name, which can hang on DNS."""
        TCPServer.server_bind(self)

    def process_request(self, request: object, client_address: object) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)  # type: ignore[arg-type]
        else:
            self.shutdown_request(request)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in mid-answer is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S
    server_version = "hoptap"
    sys_version = ""
    routes: ClassVar[dict[str, Callable[["_Handler"], None]]]

    def do_GET(self) -> None:
        route = self.routes.get(self.path.partition("?")[0])
        if route is None:
            known = ", ".join(self.routes)
            self._answer(
                HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"try {known}\n".encode()
            )
        else:
            route(self)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line."""

    def _metrics(self) -> None:
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        try:
            status, body = HTTPStatus.OK, encode(self.server.registry)
        except Exception as error:
            log.exception("metrics cannot be read")
            status, content_type = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8"
            body = f"defect: {type(error).__name__}\n".encode()
        self._answer(status, content_type, body)

    def _healthz(self) -> None:
        self._verdict(self.server.health.unhealthy())

    def _readyz(self) -> None:
        self._verdict(self.server.health.unready(), self.server.health.warnings())

    def _verdict(self, reasons: list[str], warnings: Sequence[str] = ()) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        body = {"status": "fail" if reasons else "ok", "reasons": reasons}
        if warnings:
            body["warnings"] = [*warnings]
        self._answer(status, "application/json", json.dumps(body).encode() + b"\n")

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


_Handler.routes = {
    "/metrics": _Handler._metrics,
    "/healthz": _Handler._healthz,
    "/readyz": _Handler._readyz,
}
