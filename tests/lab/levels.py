"""The levels of the lab: where each answers, under which accounts it is asked, who asks."""

import os
from typing import Any, NamedTuple

# Portal, Keystone and cloud speak TLS where these say with what, and where its secrets go.
TLS_PEM = os.environ.get("LAB_TLS_PEM", "")
TLS_KEYS = os.environ.get("LAB_TLS_KEYS", "")

PASSWORD = "Copper-Lantern-Field-9"  # every account's, at every level
GUEST_PASSWORD = "Willow-Anchor-Slate-2"


class Host(NamedTuple):
    ip: str
    port: int


PROXY = Host("10.92.0.2", 3128)
KEYSTONE = Host("10.92.0.3", 5000)
PORTAL = Host("10.92.0.4", 8774)
CLOUD = Host("10.92.0.5", 80)
VCENTER = Host("10.92.0.6", 80)
HOSTS = (Host("10.92.0.7", 80), Host("10.92.0.8", 80))

TOKENS = "/v3/auth/tokens"
RUN_IN_GUEST = "runInGuest"  # the lab's own: the APIs of portal and cloud have no such action
PORTAL_ACCOUNT = "svc-portal@acme"
CLOUD_ACCOUNT = "vCloudService"
MACHINES = ("web-1", "web-2", "app-1", "app-2", "db-1", "db-2")


class Person(NamedTuple):
    """`entry`: the level that he logs in to."""

    name: str
    ip: str
    entry: str
    proxy: bool = False

    @property
    def account(self) -> str:
        """As the level of his entry knows him."""
        return {"KEY": f"{self.name}@Default", "VCD": f"{self.name}@acme"}.get(
            self.entry, self.name
        )

    @property
    def path(self) -> str:
        """Of what he does in a guest, without the guest's account."""
        below = ["KEY", f"VCD:{PORTAL_ACCOUNT}", f"VC:{CLOUD_ACCOUNT}", "ESX:vpxuser"]
        at = {"KEY": 0, "VCD": 1, "VC": 2}[self.entry]
        front = f"PXY:{self.name}:" if self.proxy else ""
        return f"{front}{self.entry}:{self.account}:{':'.join(below[at + 1 :])}"


PEOPLE = (
    Person("alice", "10.92.1.11", "KEY", proxy=True),
    Person("bob", "10.92.1.12", "KEY", proxy=True),
    Person("carol", "10.92.1.13", "KEY", proxy=True),
    Person("dave", "10.92.1.14", "KEY"),
    Person("erin", "10.92.1.15", "VCD"),
    Person("frank", "10.92.1.16", "VC"),
)


def at(host: Host) -> str:
    return f"{host.ip}:{host.port}"


def identity_of(user: str) -> dict[str, Any]:
    """What Keystone is asked for a token with."""
    domain = {"name": "Default"}
    password = {"user": {"name": user, "domain": domain, "password": PASSWORD}}
    return {"auth": {"identity": {"methods": ["password"], "password": password}}}
