"""A portal of servers before a cloud: python -m tests.lab.portal [--ids].

It speaks as Nova does, with Keystone's tokens, which it validates there. Its one action beyond
Nova's, runInGuest, it has done by the cloud manager under an account of its own. With --ids it says
its request's id there.
"""

import sys
import threading
import time
import uuid
from typing import Any

from tests.lab.levels import (
    CLOUD,
    KEYSTONE,
    MACHINES,
    PASSWORD,
    PORTAL,
    PORTAL_ACCOUNT,
    RUN_IN_GUEST,
    TOKENS,
    at,
    identity_of,
)
from tests.lab.rest_client import RestClient, basic
from tests.lab.rest_server import Answer, Asked, Refused, serve

POLL_S = 0.02
AGENT = "portal/2.1"


class Portal:
    """Connections are kept for each thread, as a pool would; the session at the cloud is one."""

    def __init__(self, passes_ids: bool) -> None:
        self._passes_ids = passes_ids
        self._local = threading.local()
        keystone = RestClient(at(KEYSTONE), PORTAL.ip, AGENT)
        self._token = keystone.ask("POST", TOKENS, identity_of("portal")).headers["x-subject-token"]
        cloud = RestClient(at(CLOUD), PORTAL.ip, AGENT)
        login = {"Authorization": basic(PORTAL_ACCOUNT, PASSWORD)}
        session = cloud.ask("POST", "/api/sessions", headers=login)
        self._session = {"x-vcloud-authorization": session.headers["x-vcloud-authorization"]}
        found = cloud.ask("GET", "/api/query", headers=self._session).body["record"]
        hrefs = {each["name"]: each["href"] for each in found}
        self._servers = {str(uuid.uuid5(uuid.NAMESPACE_DNS, name)): name for name in MACHINES}
        self._hrefs = {server: hrefs[name] for server, name in self._servers.items()}

    def answer(self, asked: Asked) -> Answer:
        self._validate(asked.headers.get("x-auth-token", ""))
        request_id = f"req-{uuid.uuid4()}"
        headers = {"x-openstack-request-id": request_id, "x-compute-request-id": request_id}
        if asked.path == "/v2.1/servers":
            listed = [{"id": server, "name": name} for server, name in self._servers.items()]
            return Answer(200, {"servers": listed}, headers)
        *_, server, action = asked.path.split("/")
        if action != "action" or asked.method != "POST" or server not in self._hrefs:
            raise Refused(404)
        return Answer(200, self._run(server, asked.body["runInGuest"], request_id), headers)

    def _run(self, server: str, program: dict[str, str], request_id: str) -> dict[str, Any]:
        cloud = self._client("cloud", at(CLOUD))
        headers = dict(self._session)
        if self._passes_ids:
            headers["X-VMWARE-VCLOUD-CLIENT-REQUEST-ID"] = request_id
        path = f"{self._hrefs[server]}/action/{RUN_IN_GUEST}"
        task = cloud.ask("POST", path, program, headers).body
        while task["status"] == "running":
            time.sleep(POLL_S)
            task = cloud.ask("GET", task["href"], headers=self._session).body
        return {"pid": task["details"], "status": task["status"]}

    def _validate(self, token: str) -> None:
        asked = {"X-Auth-Token": self._token, "X-Subject-Token": token}
        keystone = self._client("keystone", at(KEYSTONE))
        if keystone.ask("GET", TOKENS, headers=asked).status != 200:
            raise Refused(401)

    def _client(self, name: str, server: str) -> RestClient:
        client: RestClient | None = getattr(self._local, name, None)
        if client is None:
            client = RestClient(server, PORTAL.ip, AGENT)
            setattr(self._local, name, client)
        return client


if __name__ == "__main__":
    serve(PORTAL.ip, PORTAL.port, Portal("--ids" in sys.argv).answer)
