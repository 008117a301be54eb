"""Real: proxmoxer, inside TLS, whose keys the server logs. The server is an imitation."""

import re
from urllib.parse import unquote

from tests.lab.record import Recorder
from tests.lab.recordings.imitation import Answer, Asked
from tests.lab.recordings.libvirt_tls import certificates

PORT = 8006
PASSWORDS = {"bob@pve": "B0b!proxmox"}
TICKET = "PVE:{}:6740F0AA::dGhlIHNpZ25hdHVyZSBvZiBhIHRpY2tldA=="
UPID = "UPID:pve1:0000AAAA:0001BBBB:6740F0BB:{}:{}:{}:"


def serve(recorder: Recorder) -> None:
    certificates(recorder.directory / "pki")
    recorder.imitate("proxmox_tls", PORT, str(recorder.directory / "pki"))


def ask(recorder: Recorder) -> None:
    recorder.ask("proxmox_client.py")


def answer(asked: Asked) -> Answer:
    path = asked.path.removeprefix("/api2/json")
    if path == "/access/ticket" and asked.method == "POST":
        user, password = asked.form()["username"], asked.form()["password"]
        if PASSWORDS.get(user) != password:
            return Answer({"data": None}, 401)
        data = {"username": user, "ticket": TICKET.format(user), "cap": {},
                "CSRFPreventionToken": "6740F0AA:csrf"}  # fmt: skip
        return Answer({"data": data})
    authorization = asked.headers.get("Authorization", "")
    cookie = unquote(asked.headers.get("Cookie", ""))
    named = re.search(r"PVEAPIToken=([^=]+)=", authorization) or re.search(r"PVE:([^:]+):", cookie)
    if named is None:
        return Answer({"data": None}, 401)
    if path == "/access/ticket":
        return Answer({"data": None})
    if asked.method == "GET":
        ended = {"status": "stopped", "exitstatus": "OK", "upid": path.split("/")[-2]}
        return Answer({"data": ended if "/tasks/" in path else []})
    kind = {"clone": "qmclone", "start": "qmstart", "stop": "qmstop"}.get(path.split("/")[-1], "x")
    if path.endswith("/vncproxy"):
        return Answer({"data": {"ticket": "PVEVNC:6740F0AA::c29uc29sZQ==", "port": "5900"}})
    if path.endswith("/config"):
        return Answer({"data": None})
    return Answer({"data": UPID.format(kind, "100", named[1])})
