"""HTTP/1.1 with JSON over one connection that stays open, from an address, through a proxy or not."""

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

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
        self._authorized = False
        self._connection = http.client.HTTPConnection(
            proxy.address if proxy is not None else server,
            timeout=TIMEOUT_S,
            source_address=(source, 0),
        )

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        reply = self._ask(method, path, body, headers or {})
        if reply.status == 407 and not self._authorized:
            self._authorized = True
            reply = self._ask(method, path, body, headers or {})
        return reply

    def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Reply:
        data = None if body is None else json.dumps(body).encode()
        sent = {"User-Agent": self._agent, "Accept": "application/json", **headers}
        if data is not None:
            sent["Content-Type"] = "application/json"
        if self._proxy is not None:
            sent["Host"] = self._server
            path = f"http://{self._server}{path}"
            if self._authorized:
                sent["Proxy-Authorization"] = basic(self._proxy.user, self._proxy.password)
        self._connection.request(method, path, data, sent)
        response = self._connection.getresponse()
        text = response.read()
        is_json = "json" in (response.getheader("Content-Type") or "")
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, named, json.loads(text) if is_json and text else None)

    def close(self) -> None:
        self._connection.close()
