"""Real: oVirt's own SDK for Python. The server is an imitation, in clear."""

from tests.lab.record import Recorder
from tests.lab.recordings.imitation import Answer, Asked

PORT = 8080
VM = "0b1f2c3d-1111-4222-8333-444455556666"
MADE = "9a0b1c2d-1111-4222-8333-444455556666"
XML = {"Content-Type": "application/xml;charset=UTF-8"}


def serve(recorder: Recorder) -> None:
    recorder.imitate("ovirt_clear", PORT)


def ask(recorder: Recorder) -> None:
    recorder.ask("ovirt_client.py")


def answer(asked: Asked) -> Answer:
    if asked.path.endswith("/sso/oauth/token"):
        form = asked.form()
        if (form["username"], form["password"]) != ("bob@internal", "B0b!ovirt"):
            error = {"error_code": "access_denied", "error": "Cannot authenticate user"}
            return Answer(error, 400)
        token = {"access_token": "0vIrt-t0ken-0f-b0b", "scope": "ovirt-app-api", "exp": "1"}
        return Answer(token | {"token_type": "bearer"})
    if asked.path.endswith("/services/sso-logout"):
        return Answer({})
    if asked.headers.get("Authorization") != "Bearer 0vIrt-t0ken-0f-b0b":
        return Answer(b"<html><body>Unauthorized</body></html>", 401, {"Content-Type": "text/html"})
    return resource(asked)


def resource(asked: Asked) -> Answer:
    def xml(text: str, status: int = 200) -> Answer:
        return Answer(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(), status, XML)

    last = asked.path.rpartition("/")[2]
    if asked.method == "GET":
        machine = f'<vm href="/ovirt-engine/api/vms/{VM}" id="{VM}"><name>web</name></vm>'
        return xml(f"<vms>{machine}</vms>" if last == "vms" else machine)
    if asked.method == "DELETE":
        return xml("<action><status>complete</status></action>")
    if last == "vms":
        return xml(f'<vm href="/ovirt-engine/api/vms/{MADE}" id="{MADE}"><name>db</name></vm>', 201)
    if last == "snapshots":
        return xml(f'<snapshot id="{MADE}"><description>before</description></snapshot>', 201)
    if last == "stop":
        reason = "<reason>Operation Failed</reason><detail>[VM is not running.]</detail>"
        return xml(f"<fault>{reason}</fault>", 409)
    ticket = "<ticket><expiry>120</expiry><value>c0nsole-t1cket</value></ticket>"
    inner = ticket if last == "ticket" else "<status>complete</status>"
    return xml(f"<action>{inner}</action>")
