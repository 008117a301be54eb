"""The table of systems agrees with the decoders that there are."""

import ast
import re
from pathlib import Path

from decoders.registry import STREAM_DECODERS, datagram_decoders, transaction_decoders
from decoders.systems import PRODUCT_ACCOUNTS, SERVICE_OF_API, SYSTEMS

DECODERS = Path(__file__).parents[2] / "decoders"


def names() -> set[str]:
    found = {decoder.name for decoder in transaction_decoders(lambda secret: "")}
    found |= {decoder.name for decoder in datagram_decoders(902).values()}
    return found | set(STREAM_DECODERS) | {"forwardproxy"}


def apis() -> set[str]:
    """What the decoders' own constants say: API = "vim25"."""
    found = set()
    for path in DECODERS.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Assign([ast.Name("API")], ast.Constant(value)):
                    found.add(str(value))
    return found


def test_every_decoder_is_of_a_system_and_every_system_has_decoders() -> None:
    of_systems = {name for system in SYSTEMS.values() for name in system.decoders}
    assert of_systems == names() | {"libvirt"}
    assert all(system.decoders for system in SYSTEMS.values())


def test_every_api_is_of_a_system() -> None:
    of_systems = {api for system in SYSTEMS.values() for api in system.apis}
    assert apis() <= of_systems


def test_an_api_tells_one_system_at_most() -> None:
    for system in SYSTEMS.values():
        assert re.fullmatch("[A-Z]{2,3}", system.id)
        assert set(system.tells) <= set(system.apis)
        assert all(re.fullmatch(r"(tcp|udp)/\d+", port) for port in system.ports)
    telling = [api for system in SYSTEMS.values() for api in system.tells]
    assert len(telling) == len(set(telling)) == len(SERVICE_OF_API)
    for api, service in SERVICE_OF_API.items():
        assert [each.id for each in SYSTEMS.values() if api in each.apis] == [service]
    assert "vpxuser" in PRODUCT_ACCOUNTS
