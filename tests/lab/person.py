"""What one of several people does: python -m tests.lab.person NAME BEGIN CALM ROUNDS.

A login at the level of his entry, and from BEGIN on (seconds since the epoch) a program in a guest
each round: in CALM rounds one person after the other, then all at once. Each is under an account of
the guest that nobody else uses, so that it can be told which it was. Prints what he did, as JSON.
"""

import json
import random
import sys
import time
import uuid
from collections.abc import Callable

from tests.lab.levels import (
    CLOUD,
    GUEST_PASSWORD,
    KEYSTONE,
    MACHINES,
    PASSWORD,
    PEOPLE,
    PORTAL,
    PROXY,
    RUN_IN_GUEST,
    TOKENS,
    VCENTER,
    Person,
    at,
    identity_of,
)
from tests.lab.rest_client import ProxyAccount, Reply, RestClient, basic

CALM_S = 1.3  # from one person to the next: more than a cause is looked for after its answer
ROUND_S = 0.2
JITTER_S = 0.15  # so that who is first changes, and some begin in the round before
POLL_S = 0.02

Run = Callable[[str, dict[str, str]], int]  # machine, program -> its number


def run_at_portal(person: Person) -> Run:
    agent = f"{person.name}-cli/1.0"
    proxy = ProxyAccount(at(PROXY), person.name, PASSWORD) if person.proxy else None
    keystone = RestClient(at(KEYSTONE), person.ip, agent, proxy)
    login = succeeded(keystone.ask("POST", TOKENS, identity_of(person.name)))
    token = {"X-Auth-Token": login.headers["x-subject-token"]}
    portal = RestClient(at(PORTAL), person.ip, agent, proxy)
    listed = succeeded(portal.ask("GET", "/v2.1/servers", headers=token)).body["servers"]
    servers = {each["name"]: each["id"] for each in listed}

    def run(machine: str, program: dict[str, str]) -> int:
        path = f"/v2.1/servers/{servers[machine]}/action"
        reply = succeeded(portal.ask("POST", path, {RUN_IN_GUEST: program}, token))
        return int(reply.body["pid"])

    return run


def run_at_cloud(person: Person) -> Run:
    cloud = RestClient(at(CLOUD), person.ip, "go-vcloud-director")
    login = {"Authorization": basic(person.account, PASSWORD)}
    session = succeeded(cloud.ask("POST", "/api/sessions", headers=login)).headers
    token = {"x-vcloud-authorization": session["x-vcloud-authorization"]}
    found = succeeded(cloud.ask("GET", "/api/query", headers=token)).body["record"]
    hrefs = {each["name"]: each["href"] for each in found}

    def run(machine: str, program: dict[str, str]) -> int:
        path = f"{hrefs[machine]}/action/{RUN_IN_GUEST}"
        task = succeeded(cloud.ask("POST", path, program, token)).body
        while task["status"] == "running":
            time.sleep(POLL_S)
            task = succeeded(cloud.ask("GET", task["href"], headers=token)).body
        return int(task["details"])

    return run


def run_at_vcenter(person: Person) -> Run:
    from tests.lab.vsphere_change import connect_from
    from tests.lab.vsphere_guest import GuestClient

    connect_from(person.ip)
    vcenter = GuestClient(VCENTER, person.account, PASSWORD)
    # the vSphere Client names its calls in this way
    return lambda machine, program: vcenter.run(machine, program, f"{uuid.uuid4()}-auto-h5")


def _due_s(turn: int, calm: int, number: int, choice: random.Random) -> float:
    if turn < calm:
        return (turn * len(PEOPLE) + number) * CALM_S
    return calm * len(PEOPLE) * CALM_S + (turn - calm) * ROUND_S + choice.random() * JITTER_S


def succeeded(reply: Reply) -> Reply:
    assert reply.status < 300, reply
    return reply


ENTRIES = {"KEY": run_at_portal, "VCD": run_at_cloud, "VC": run_at_vcenter}


def main() -> int:
    name, begin, calm, rounds = sys.argv[1:]
    [(number, person)] = [each for each in enumerate(PEOPLE) if each[1].name == name]
    choice = random.Random(name)
    run = ENTRIES[person.entry](person)
    for turn in range(int(calm) + int(rounds)):
        time.sleep(max(0.0, float(begin) + _due_s(turn, int(calm), number, choice) - time.time()))
        machine = choice.choice(MACHINES)
        account = f"operator{turn * len(PEOPLE) + number:03}"
        program = {
            "program": "/usr/bin/systemctl",
            "arguments": "restart app",
            "account": account,
            "password": GUEST_PASSWORD,
        }
        begun = time.time()
        pid = run(machine, program)
        did = {"user": name, "machine": machine, "guest": account, "pid": pid, "begun": begun}
        print(json.dumps(did | {"path": f"{person.path}:GST:{account}", "ended": time.time()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
