"""Real: Keystone (with its own tokens, SQLite below), keystoneauth1, novaclient and cinderclient.
Nova and Cinder are imitations that take whatever token Keystone gave."""

import subprocess
from pathlib import Path

from tests.lab.namespaces import SERVER_ADDRESS
from tests.lab.record import Recorder
from tests.lab.recordings.imitation import Answer, Asked

KEYSTONE_PORT, NOVA_PORT, CINDER_PORT = 5000, 8774, 8776
SERVER = "0b1f2c3d-1111-4222-8333-444455556666"
MADE = "9a0b1c2d-1111-4222-8333-444455556666"
CONSOLE = "http://nova.lab:6080/vnc_auto.html?path=%3Ftoken%3Dc0nsole-t0ken"
CONFIGURATION = """[database]
connection = sqlite:///{0}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {0}/fernet
[fernet_receipts]
key_repository = {0}/fernet
[credential]
key_repository = {0}/credential
[DEFAULT]
log_file = {0}/keystone.log
"""


def serve(recorder: Recorder) -> None:
    directory = recorder.directory
    settings = directory / "keystone.conf"
    settings.write_text(CONFIGURATION.format(directory))
    for name in ("fernet", "credential"):
        (directory / name).mkdir()
    manage = Path(recorder.python).parent / "keystone-manage"

    def keystone(*arguments: str) -> None:
        command = [str(manage), "--config-file", str(settings), *arguments]
        subprocess.run(command, check=True, capture_output=True)

    keystone("db_sync")
    root = ("--keystone-user", "root", "--keystone-group", "root")
    keystone("fernet_setup", *root)
    keystone("credential_setup", *root)
    url = f"http://{SERVER_ADDRESS}:{KEYSTONE_PORT}/v3/"
    keystone("bootstrap", "--bootstrap-password", "Adm1n!lab", "--bootstrap-public-url", url,
        "--bootstrap-region-id", "lab")  # fmt: skip
    script = Path(__file__).parent / "openstack_keystone.py"
    recorder.serve(recorder.python, str(script), str(settings), str(KEYSTONE_PORT),
        port=KEYSTONE_PORT)  # fmt: skip
    for port in (NOVA_PORT, CINDER_PORT):
        recorder.imitate("openstack_clear", port)


def ask(recorder: Recorder) -> None:
    recorder.ask("openstack_client.py")


def answer(asked: Asked) -> Answer:
    ids = {"x-openstack-request-id": f"req-{MADE}", "x-compute-request-id": f"req-{MADE}"}
    if not asked.headers.get("X-Auth-Token"):
        return Answer({"error": {"code": 401, "title": "Unauthorized"}}, 401, ids)
    last = asked.path.rstrip("/").rpartition("/")[2]
    if last == "v2.1":
        version = {"id": "v2.1", "status": "CURRENT", "version": "2.93", "min_version": "2.1"}
        return Answer({"version": version}, headers=ids)
    if last == "remote-consoles":
        console = {"protocol": "vnc", "type": "novnc", "url": CONSOLE}
        return Answer({"remote_console": console}, headers=ids)
    if last == "action":
        if "os-start" in asked.json():
            said = {"message": "Cannot 'start' instance while it is in vm_state active"}
            return Answer({"conflictingRequest": said | {"code": 409}}, 409, ids)
        return Answer(b"", 202, ids)
    if last == "volumes":
        return Answer({"volume": {"id": MADE, "name": "data", "status": "creating"}}, 202, ids)
    if asked.method == "DELETE":
        return Answer(b"", 204, ids)
    server = {"id": MADE if asked.method == "POST" else SERVER, "name": "web", "links": []}
    named = {"server": server | {"adminPass": "Gu3st!pw"}}
    return Answer(named, 202 if asked.method == "POST" else 200, ids)
