"""POST over a kept connection: http.client on a socket of `exporters/endpoint.py`, bodies gzipped.

Invariant: every failure is a SinkError of one line that names the receiver; an answer, whatever its
status, is returned.
"""

import gzip
import http.client
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from exporters.endpoint import Endpoint, TlsFiles, connect, failure
from exporters.outbox import SinkError
from exporters.payload import one_line

ANSWER_BYTES_MAX = 16 << 20  # of _bulk: some 200 bytes for each record
GZIP_LEVEL = 1  # records repeat themselves: level 6 costs twice the time for a tenth of the bytes
GZIP_FROM_BYTES = 1024
GONE = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)  # also RemoteDisconnected
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where to post; `tls` is for https only, and without it the system's CAs are trusted."""

    url: str
    connect_timeout_s: float = 5.0
    ack_timeout_s: float = 30.0
    tls: TlsFiles | None = None
    compress: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, or None when it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def line(self, said: str = "") -> str:
        """ "403 Forbidden: Invalid token": the status, and what was said beside it."""
        said = said or self.body[:1000].decode("utf-8", "replace")
        if location := self.headers.get("location", ""):
            said = f"moved to {location}"
        status = f"{self.status} {self.reason}".strip()
        return one_line(f"{status}: {said}" if said.strip() else status)


class HttpClient:
    """One receiver's connection; `name` begins its error lines ("hec siem.example.org:8088")."""

    def __init__(
        self, kind: str, endpoint: HttpEndpoint, path: str, headers: Mapping[str, str]
    ) -> None:
        """`path` is where posts go when the URL names none. Raises ValueError of a bad URL."""
        url = urlsplit(endpoint.url)
        if url.username is not None:
            raise ValueError("a URL with a user name: it belongs into a setting of its own")
        if url.scheme not in PORTS or not url.hostname:
            raise ValueError(f"{endpoint.url} is no URL of http or https")
        tls = (endpoint.tls or TlsFiles()) if url.scheme == "https" else None
        port = url.port or PORTS[url.scheme]
        self._endpoint = Endpoint(
            url.hostname, port, endpoint.connect_timeout_s, endpoint.ack_timeout_s, tls
        )
        self._kind = kind
        self.name = f"{kind} {self._endpoint}"
        self.path = url.path if url.path.strip("/") else path
        self._query = f"?{url.query}" if url.query else ""
        self._headers = dict(headers)
        self._compress = endpoint.compress
        self._connection: http.client.HTTPConnection | None = None
        self.connections = 0  # made so far: whether two answers may be of two processes

    def get(self, path: str) -> Answer:
        return self._exchange("GET", path, b"", {})

    def post(self, body: bytes, *, path: str = "", headers: Mapping[str, str] = {}) -> Answer:
        """Raises SinkError when there is no whole answer in time."""
        sent = dict(headers)
        if self._compress and len(body) >= GZIP_FROM_BYTES:
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
            sent["Content-Encoding"] = "gzip"
        return self._exchange("POST", path or self.path + self._query, body, sent)

    def error(self, what: str, *, written: int = 0, final: bool = False) -> SinkError:
        return SinkError(f"{self.name}: {what}", written=written, final=final)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """A kept connection may have been closed meanwhile: that alone is tried anew, once."""
        kept = self._connection is not None
        try:
            return self._attempt(method, path, body, headers)
        except TimeoutError:
            self.close()
            seconds = f"{self._endpoint.ack_timeout_s:g} s"
            raise self.error(f"connected, but no answer within {seconds}") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if kept and isinstance(error, GONE):
                return self._exchange(method, path, body, headers)
            raise self._failure(error) from None

    def _attempt(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            connection = http.client.HTTPConnection(self._endpoint.host, self._endpoint.port)
            connection.sock = connect(self._endpoint, self._kind)
            connection.auto_open = 0
            self.connections += 1
            self._connection = connection
        # What refuses a body closes without reading the rest of it; why, it has said already.
        with suppress(*GONE):
            self._connection.request(method, path, body or None, {**self._headers, **headers})
        response = self._connection.getresponse()
        got = response.read(ANSWER_BYTES_MAX + 1)
        if len(got) > ANSWER_BYTES_MAX:
            raise http.client.HTTPException(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        if response.length:
            raise http.client.IncompleteRead(got, response.length)
        answer = Answer(
            response.status,
            response.reason,
            {name.lower(): value for name, value in response.getheaders()},
            got,
        )
        if response.will_close or not response.isclosed():
            self.close()
        return answer

    def _failure(self, error: Exception) -> SinkError:
        if isinstance(error, OSError) and not isinstance(error, http.client.RemoteDisconnected):
            return failure(self.name, error)
        return self.error(_cause(error))


def _cause(error: Exception) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "the receiver closed the connection without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the receiver closed the connection within its answer"
    if isinstance(error, http.client.BadStatusLine):
        return "the receiver does not speak HTTP"
    return one_line(str(error) or type(error).__name__)
