"""Which object is which, across hosts and over time."""

from decoders.message import ObjectSeen, Target
from sensor.correlate.inventory import Inventory, object_id
from tests.sensor.talk import ESX1, ESX2, VC, VCD, vm

UUID = "bb31e619-6033-4173-ad3c-32dc1d032a5c"


def seen(host: str, target: Target, inventory: Inventory, **more: object) -> None:
    inventory.seen(host, ObjectSeen(target=target, time_ns=1, end_ns=2, **more))  # type: ignore[arg-type]


def test_ids_lose_path_and_urn() -> None:
    assert object_id("vm-1") == "vm-1"
    assert object_id(f"https://cloud/api/vApp/vapp-{UUID}") == f"vapp-{UUID}"
    assert object_id(f"urn:vcloud:vm:{UUID}") == f"vm-{UUID}"


def test_the_same_instance_uuid_is_the_same_object() -> None:
    inventory = Inventory()
    seen(VC, vm("vm-61", "web"), inventory, instance_uuid=UUID)
    seen(ESX1, vm("22", "web renamed"), inventory, instance_uuid=UUID)
    assert inventory.peers((ESX1, "22"), VC) == {"vm-61": 1.0}
    assert not inventory.different((ESX1, "22"), (VC, "vm-61"))


def test_the_same_name_is_probably_the_same_object_and_two_share_the_doubt() -> None:
    inventory = Inventory()
    seen(VC, vm("vm-61", "web"), inventory)
    seen(ESX1, vm("22", "web"), inventory)
    assert inventory.peers((ESX1, "22"), VC) == {"vm-61": 0.95}
    seen(VC, vm("vm-99", "web"), inventory)
    assert inventory.peers((ESX1, "22"), VC) == {"vm-61": 0.475, "vm-99": 0.475}


def test_one_moref_on_two_hosts_is_two_objects() -> None:
    inventory = Inventory()
    seen(VC, vm("vm-1", "one"), inventory)
    seen(VC, vm("vm-2", "two"), inventory)
    seen(ESX1, vm("22", "one"), inventory)
    seen(ESX2, vm("22", "two"), inventory)
    assert list(inventory.peers((ESX1, "22"), VC)) == ["vm-1"]
    assert list(inventory.peers((ESX2, "22"), VC)) == ["vm-2"]
    assert inventory.different((ESX1, "22"), (VC, "vm-2"))


def test_an_id_used_again_after_a_destroy_is_another_object() -> None:
    inventory = Inventory()
    seen(VC, vm("vm-1", "old"), inventory)
    inventory.made(ESX1, vm("22"), "old")
    inventory.gone(ESX1, "22", 5)
    assert list(inventory.peers((ESX1, "22"), VC)) == ["vm-1"]  # for who comes late
    inventory.made(ESX1, vm("22"), "new")
    assert inventory.name_of(ESX1, "22") == "new"
    assert inventory.peers((ESX1, "22"), VC) == {}


def test_a_cloud_vm_is_found_by_the_uuid_in_its_name_and_its_vapp_contains_it() -> None:
    inventory = Inventory()
    seen(VCD, Target("Vm", f"vm-{UUID}", "web"), inventory, container=Target("VApp", "vapp-1"))
    seen(VC, vm("vm-61", f"web ({UUID})"), inventory)
    assert inventory.peers((VC, "vm-61"), VCD) == {f"vm-{UUID}": 1.0}
    assert inventory.holders((VC, "vm-61"), VCD) == {"vapp-1": 1.0}


def test_what_hops_show_is_kept_with_its_weight() -> None:
    inventory = Inventory()
    seen(VC, vm("vm-61"), inventory)
    inventory.link((ESX1, "22"), (VC, "vm-61"), 0.8)
    inventory.contain((VCD, "vapp-1"), (VC, "vm-61"), 0.9)
    assert inventory.peers((ESX1, "22"), VC) == {"vm-61": 0.8}
    assert inventory.holders((VC, "vm-61"), VCD) == {"vapp-1": 0.9}


def test_a_hop_does_not_join_what_is_known_to_differ() -> None:
    inventory = Inventory()
    seen(VC, vm("vm-61", "web"), inventory)
    seen(ESX1, vm("22", "db"), inventory)
    inventory.link((ESX1, "22"), (VC, "vm-61"), 1.0)
    assert inventory.peers((ESX1, "22"), VC) == {}


def test_a_simulator_that_names_objects_by_their_ids_names_nothing() -> None:
    inventory = Inventory()
    inventory.named(VC, Target("VirtualMachine", "vm-61", "vm-61"))
    assert inventory.name_of(VC, "vm-61") == ""


def test_the_oldest_leaves_a_full_table_without_a_trace() -> None:
    inventory = Inventory(objects_max=2)
    for number in range(4):
        seen(VC, vm(f"vm-{number}", f"name {number}"), inventory, instance_uuid=f"u{number}")
    assert len(inventory) == 2
    assert inventory.shed == 2
    assert inventory.namesakes("name 0", VC) == {}
    seen(ESX1, vm("1", "other"), inventory, instance_uuid="u0")
    assert inventory.peers((ESX1, "1"), VC) == {}
