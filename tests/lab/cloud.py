"""A manager of clouds that speaks as Cloud Director does: python -m tests.lab.cloud [--ids].

Its VMs are the vCenter's, which it asks under one account through one session on several
connections. Cloud Director has no runInGuest; the rest is the published API. With --ids it says its
request's id to the vCenter.
"""

import base64
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.lab.levels import CLOUD, CLOUD_ACCOUNT, PASSWORD, RUN_IN_GUEST, VCENTER
from tests.lab.rest_server import Answer, Asked, Refused, serve
from tests.lab.vsphere_change import connect_from
from tests.lab.vsphere_guest import GuestClient

TASK = "application/vnd.vmware.vcloud.task+json"
WORKERS = 6


class Cloud:
    def __init__(self, passes_ids: bool) -> None:
        self._passes_ids = passes_ids
        self._sessions: dict[str, str] = {}
        self._tasks: dict[str, dict[str, Any]] = {}
        self._pool = ThreadPoolExecutor(WORKERS)
        connect_from(CLOUD.ip)
        self._vcenter = GuestClient(VCENTER, CLOUD_ACCOUNT, PASSWORD)
        names = self._vcenter.names
        self._ids = {f"vm-{uuid.uuid5(uuid.NAMESPACE_URL, name)}": name for name in names}

    def answer(self, asked: Asked) -> Answer:
        request_id = "-".join(
            filter(None, (asked.headers.get("x-vmware-vcloud-client-request-id"), _uuid()))
        )
        headers = {"X-VMWARE-VCLOUD-REQUEST-ID": request_id}
        if asked.path == "/api/sessions":
            return self._login(asked, headers)
        user = self._sessions.get(asked.headers.get("x-vcloud-authorization", ""))
        if user is None:
            raise Refused(401)
        if asked.path == "/api/query":
            listed = [
                {"name": name, "href": f"/api/vApp/{vm}", "_type": "VMRecordType"}
                for vm, name in self._ids.items()
            ]
            return Answer(200, {"record": listed}, headers)
        if asked.path.startswith("/api/task/"):
            task = self._tasks[asked.path.rpartition("/")[2]]
            return Answer(200, task, headers, TASK)
        _, _, _, vm, _, action = asked.path.split("/")
        if action != RUN_IN_GUEST or asked.method != "POST":
            raise Refused(404)
        return Answer(202, self._begin(vm, asked.body, user, request_id), headers, TASK)

    def _login(self, asked: Asked, headers: dict[str, str]) -> Answer:
        claimed = asked.headers["authorization"].partition(" ")[2]
        user, _, password = base64.b64decode(claimed).decode().partition(":")
        if password != PASSWORD:
            raise Refused(401)
        token = uuid.uuid4().hex
        self._sessions[token] = user
        name, _, organisation = user.partition("@")
        session = {"user": name, "org": organisation, "href": "/api/session"}
        kind = "application/vnd.vmware.vcloud.session+json"
        return Answer(200, session, {**headers, "x-vcloud-authorization": token}, kind)

    def _begin(self, vm: str, program: dict[str, str], user: str, request_id: str) -> Any:
        identity = _uuid()
        task = {
            "id": f"urn:vcloud:task:{identity}",
            "href": f"/api/task/{identity}",
            "type": TASK,
            "status": "running",
            "operationName": RUN_IN_GUEST,
            "owner": {"href": f"/api/vApp/{vm}", "name": self._ids[vm]},
            "user": {"name": user.partition("@")[0]},
        }
        self._tasks[identity] = task
        self._pool.submit(self._work, task, self._ids[vm], program, request_id)
        return task

    def _work(
        self, task: dict[str, Any], machine: str, program: dict[str, str], request_id: str
    ) -> None:
        pid, status = 0, "error"
        try:
            pid = self._vcenter.run(machine, program, request_id if self._passes_ids else "")
            status = "success"
        finally:
            self._tasks[task["id"].rpartition(":")[2]] = task | {"status": status, "details": pid}


def _uuid() -> str:
    return str(uuid.uuid4())


if __name__ == "__main__":
    serve(CLOUD.ip, CLOUD.port, Cloud("--ids" in sys.argv).answer)
