"""What an administrator, a person and a robot ask of OpenStack, by its own clients."""

import contextlib
from typing import Any

from cinderclient.v3 import client as cinder
from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3
from novaclient import client as nova
from novaclient import exceptions as nova_exceptions

HOST = "10.91.0.2"
URL = f"http://{HOST}:5000/v3"
SERVER = "0b1f2c3d-1111-4222-8333-444455556666"
IN_DEFAULT = {"user_domain_id": "default", "project_domain_id": "default"}


def entered(user: str, password: str, project: str) -> session.Session:
    auth = v3.Password(URL, username=user, password=password, project_name=project, **IN_DEFAULT)
    return session.Session(auth=auth, user_agent="lab")


def keystone(by: session.Session, method: str, path: str, body: dict[str, object]) -> Any:
    return by.request(f"{URL}{path}", method, json=body).json()


admin = entered("admin", "Adm1n!lab", "admin")
shop = keystone(admin, "POST", "/projects", {"project": {"name": "shop"}})["project"]["id"]
account = {"name": "bob", "password": "B0b!openstack", "default_project_id": shop}
user = keystone(admin, "POST", "/users", {"user": account})["user"]["id"]
roles = admin.get(f"{URL}/roles?name=member").json()["roles"]
admin.put(f"{URL}/projects/{shop}/users/{user}/roles/{roles[0]['id']}")
with contextlib.suppress(exceptions.Unauthorized):
    entered("bob", "wrong", "shop").get_token()

bob = entered("bob", "B0b!openstack", "shop")
servers = nova.Client("2.93", session=bob, endpoint_override=f"http://{HOST}:8774/v2.1").servers
made = servers.create("web", image=SERVER, flavor="1", nics="none")
servers.stop(SERVER)
with contextlib.suppress(nova_exceptions.ClientException):
    servers.start(SERVER)
servers.reboot(SERVER, "HARD")
servers.get_vnc_console(SERVER, "novnc")
servers.delete(SERVER)
volumes = cinder.Client(session=bob, endpoint_override=f"http://{HOST}:8776/v3/{shop}").volumes
volumes.create(10, name="data")

credential = {"name": "terraform", "roles": [{"name": "member"}]}
path = f"/users/{user}/application_credentials"
given = keystone(bob, "POST", path, {"application_credential": credential})
robot = session.Session(
    auth=v3.ApplicationCredential(
        URL,
        application_credential_id=given["application_credential"]["id"],
        application_credential_secret=given["application_credential"]["secret"],
    )
)
compute = f"http://{HOST}:8774/v2.1"
nova.Client("2.93", session=robot, endpoint_override=compute).servers.stop(SERVER)
scoped = v3.Token(URL, token=bob.get_token(), project_id=shop)
session.Session(auth=scoped).get_token()
bob.delete(f"{URL}/auth/tokens", headers={"X-Subject-Token": bob.get_token()})
