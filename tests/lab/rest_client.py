"""HTTP/1.1 with JSON over one connection that stays open, from an address.

Through a proxy or not: in clear the proxy is asked for the whole URL, for TLS to CONNECT.
"""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.lab.levels import TLS_KEYS

TIMEOUT_S = 20


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: Any


class ProxyAccount(NamedTuple):
    address: str  # host:port
    user: str
    password: str


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class RestClient:
    """`server` is host:port. A proxy is first asked without its account, as programs do."""

    def __init__(self, server: str, source: str, agent: str, proxy: ProxyAccount | None = None):
        self._server = server
        self._proxy = proxy
        self._agent = agent
        self._source = (source, 0)
        self._authorized = False
        self._connection = self._connect()

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        try:
            reply = self._ask(method, path, body, headers or {})
        except OSError as error:  # of CONNECT
            if "407" not in str(error) or self._authorized:
                raise
            reply = Reply(407, {}, None)
        if reply.status == 407 and not self._authorized:
            self._authorized = True
            if TLS_KEYS:
                self._connection = self._connect()
            reply = self._ask(method, path, body, headers or {})
        return reply

    def _connect(self) -> http.client.HTTPConnection:
        to = self._proxy.address if self._proxy is not None else self._server
        if not TLS_KEYS:
            return http.client.HTTPConnection(to, timeout=TIMEOUT_S, source_address=self._source)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.keylog_filename = TLS_KEYS
        connection = http.client.HTTPSConnection(
            to, timeout=TIMEOUT_S, source_address=self._source, context=context
        )
        if self._proxy is not None:
            connection.set_tunnel(self._server, headers=self._account())
        return connection

    def _account(self) -> dict[str, str]:
        if self._proxy is None or not self._authorized:
            return {}
        return {"Proxy-Authorization": basic(self._proxy.user, self._proxy.password)}

    def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Reply:
        data = None if body is None else json.dumps(body).encode()
        sent = {"User-Agent": self._agent, "Accept": "application/json", **headers}
        if data is not None:
            sent["Content-Type"] = "application/json"
        if self._proxy is not None and not TLS_KEYS:
            path = f"http://{self._server}{path}"
            sent |= {"Host": self._server, **self._account()}
        self._connection.request(method, path, data, sent)
        response = self._connection.getresponse()
        text = response.read()
        is_json = "json" in (response.getheader("Content-Type") or "")
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, named, json.loads(text) if is_json and text else None)

    def close(self) -> None:
        self._connection.close()
