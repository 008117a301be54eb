"""Tokens as OpenStack's Identity API v3 hands them out: python -m tests.lab.keystone ADDRESS PORT.

Written from the published API; it takes every account with the password that the lab has for it.
"""

import sys
import uuid
from typing import Any

from tests.lab.levels import PASSWORD, TOKENS
from tests.lab.rest_server import Answer, Asked, Refused, serve


class Keystone:
    def __init__(self) -> None:
        self._tokens: dict[str, dict[str, Any]] = {}

    def answer(self, asked: Asked) -> Answer:
        if asked.path != TOKENS:
            raise Refused(404)
        if asked.method == "POST":
            return self._issue(asked.body["auth"]["identity"])
        if asked.headers.get("x-auth-token") not in self._tokens:
            raise Refused(401)
        subject = asked.headers["x-subject-token"]
        if subject not in self._tokens:
            raise Refused(404)
        if asked.method == "DELETE":
            del self._tokens[subject]
            return Answer(204, headers=_request_id())
        return self._shown(200, subject)

    def _issue(self, identity: dict[str, Any]) -> Answer:
        user = identity["password"]["user"]
        if user["password"] != PASSWORD:
            raise Refused(401)
        token = f"gAAAAA{uuid.uuid4().hex}{uuid.uuid4().hex}"
        domain = {"id": "default", "name": user["domain"]["name"]}
        self._tokens[token] = {
            "methods": ["password"],
            "user": {"id": uuid.uuid4().hex, "name": user["name"], "domain": domain},
            "audit_ids": [uuid.uuid4().hex[:22]],
            "expires_at": "2030-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
        }
        return self._shown(201, token)

    def _shown(self, status: int, token: str) -> Answer:
        headers = {"X-Subject-Token": token, **_request_id()}
        return Answer(status, {"token": self._tokens[token]}, headers)


def _request_id() -> dict[str, str]:
    return {"x-openstack-request-id": f"req-{uuid.uuid4()}"}


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), Keystone().answer)
