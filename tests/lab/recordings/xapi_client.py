"""What an administrator asks of XenServer, by XenAPI, and Xen Orchestra, by JSON-RPC."""

import contextlib
import json
import urllib.request

import XenAPI

URL = "http://10.91.0.2:8080"

session = XenAPI.Session(URL)
with contextlib.suppress(XenAPI.Failure):
    session.xenapi.login_with_password("root", "wrong", "1.0", "xapi_client.py")
session.xenapi.login_with_password("root", "X3n!server", "1.0", "xapi_client.py")
machine = session.xenapi.VM.get_by_name_label("web")[0]
session.xenapi.VM.start(machine, False, False)
session.xenapi.VM.clone(machine, "web-2")
session.xenapi.VM.set_name_description(machine, "of the shop")
task = session.xenapi.Async.VM.clean_reboot(machine)
session.xenapi.task.get_status(task)
with contextlib.suppress(XenAPI.Failure):
    session.xenapi.VM.hard_shutdown(machine)
session.xenapi.VM.destroy(machine)
session.xenapi.session.logout()


def ask(method: str, *parameters: object) -> object:
    body = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
    headers = {"Content-Type": "application/json", "User-Agent": "xen-api"}
    request = urllib.request.Request(f"{URL}/jsonrpc", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response).get("result")


orchestra = ask("session.login_with_password", "bob", "B0b!xen", "1.0", "xo-server")
started = ask("Async.VM.snapshot", orchestra, machine, "before")
ask("task.get_record", orchestra, started)
ask("session.logout", orchestra)
