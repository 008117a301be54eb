"""Accounts at forward proxies: who is behind a flow, whatever the flow then logs in as.

They follow the flow: in a tunnel nothing else joins its requests to the credentials that opened it.
A login is told once while its user goes on using the proxy: each connection shows the credentials.
"""

from collections import OrderedDict
from typing import Any

from decoders.message import Login, Outcome, ProxyLogin
from sensor.correlate.actions import NO_PROXY, ProxyAccount
from sensor.flows import Flow
from sensor.levels import (
    PROXY_API,
)
from sensor.logins import Logins
from sensor.recording import (
    Sighting,
)
from sensor.records import Record
from sensor.services import Services

FLOWS_MAX = 65536  # as many as the core follows by default
USERS_MAX = 65536


class ProxyUsers:
    def __init__(self, logins: Logins, services: Services, idle_timeout_ns: int) -> None:
        self._logins = logins
        self._services = services
        self._idle_timeout_ns = idle_timeout_ns
        self._by_flow: OrderedDict[Flow, ProxyAccount] = OrderedDict()
        # (client, proxy, user) -> record of the login, last use
        self._known: OrderedDict[tuple[str, str, str], tuple[str, int]] = OrderedDict()
        self.shed = 0

    def login(self, message: ProxyLogin, at: Sighting) -> list[Record]:
        if message.outcome is not Outcome.SUCCESS:
            return self._logins.login(_as_login(message), at)
        self._services.proxy(at.flow.server_ip)
        user = (at.client_ip, at.flow.server_ip, message.user)
        login_id, last_ns = self._known.pop(user, ("", 0))
        records: list[Record] = []
        if not login_id or message.end_ns - last_ns >= self._idle_timeout_ns:
            records = self._logins.login(_as_login(message), at)
            login_id = records[0].id if records else ""
        self._known[user] = (login_id, message.end_ns)
        self._bound(self._known, USERS_MAX)
        self._by_flow[at.flow] = ProxyAccount(message.user, login_id)
        self._bound(self._by_flow, FLOWS_MAX)
        return records

    def of(self, flow: Flow) -> ProxyAccount:
        """The account behind the flow, if one is known."""
        return self._by_flow.get(flow, NO_PROXY) if self._by_flow else NO_PROXY

    def end(self, flow: Flow) -> None:
        self._by_flow.pop(flow, None)

    def _bound(self, table: OrderedDict[Any, Any], most: int) -> None:
        if len(table) > most:
            table.popitem(last=False)
            self.shed += 1


def _as_login(message: ProxyLogin) -> Login:
    destination = (("destination", message.destination),) if message.destination else ()
    return Login(
        time_ns=message.time_ns,
        end_ns=message.end_ns,
        token=message.token,
        user_agent=message.user_agent,
        forwarded_for=message.forwarded_for,
        api=PROXY_API,
        operation="CONNECT" if message.destination else "Proxy-Authorization",
        method=message.method,
        outcome=message.outcome,
        fault=message.fault,
        user=message.user,
        claimed=message.user,
        details=destination,
    )
