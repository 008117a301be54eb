"""A provider who acts inside a tenant of Cloud Director is a hop of his own."""

import pytest

from tests.sensor.talk import BOB, VC, VCD, Talk, vapp, vm

PROVIDER = "admin@System"


@pytest.mark.parametrize(
    ("user", "tenant", "path"),
    [
        (PROVIDER, "acme", "VCD:admin@System:VCD:admin@System@acme"),
        (PROVIDER, "", "VCD:admin@System"),
        (PROVIDER, "System", "VCD:admin@System"),
        ("bob@acme", "acme", "VCD:bob@acme"),  # a tenant's client may name its own organisation
    ],
)
def test_path(user: str, tenant: str, path: str) -> None:
    talk = Talk()
    talk.login(BOB, VCD, user)
    talk.call(BOB, VCD, "DELETE vApp", vapp("app1"), request_id="r1", tenant=tenant)
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), operation_id="r1")
    talk.finish()
    assert talk.path("DELETE vApp") == path
    assert talk.path("Destroy_Task") == f"{path}:VC:vCloudService"


def test_it_says_how_that_is_known() -> None:
    talk = Talk()
    talk.login(BOB, VCD, PROVIDER)
    talk.call(BOB, VCD, "DELETE vApp", vapp("app1"), tenant="acme")
    talk.finish()
    hop, login = talk.find("DELETE vApp").hop, talk.find("Login", VCD)
    assert hop is not None
    assert (hop.cause, hop.parent_id) == ("explicit", login.id)
    assert "tenant" in talk.evidence("DELETE vApp")
