"""What is said of a sealed service on TCP 902: at most its volume, and that this is all."""

import pytest

from decoders.authd import Authd
from decoders.decoder import StreamDecoder
from decoders.message import (
    Call,
    OperationClass,
    Outcome,
    Target,
)
from tests.decoders.crafting import hasher
from tests.decoders.framed_crafting import BANNER, SESSION, C, S, Sealed, Step, classic, line, tell


def authd() -> Authd:
    def no_vix(target: Target) -> StreamDecoder:
        raise AssertionError(f"no VIX here: {target}")

    return Authd(hasher, SESSION, no_vix)


SECONDS = 10**9
KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("lasted_s", "to_server", "to_client", "kind"),
    [
        (5, 20 * MIB, MIB, "disk"),  # written
        (10, MIB, 500 * MIB, "disk"),  # read
        (300, 200 * KIB, 40 * MIB, "console"),
        (2, 3 * KIB, 4 * KIB, "unknown"),
        (300, 3 * KIB, 4 * KIB, "unknown"),
        (60, 100 * KIB, 600 * MIB, "unknown"),
    ],
)
def test_a_sealed_service_is_told_by_its_volume(
    lasted_s: int, to_server: int, to_client: int, kind: str
) -> None:
    begun: list[Step] = [line(S, BANNER), Sealed(1, False), Sealed(2, False)]
    steps = [*begun, Sealed(2, False, lasted_s * SECONDS)]
    said = tell(authd(), steps, (to_server, to_client))
    (call,) = (each for each in said if isinstance(each, Call))
    assert len(said) == 1 and (call.operation, call.user) == ("TLS", "")
    assert call.outcome is Outcome.UNKNOWN
    classes = {"disk": OperationClass.DISK, "console": OperationClass.CONSOLE}
    assert call.operation_class is classes.get(kind, OperationClass.READ)
    assert call.details == (
        ("service", kind),
        ("told_by", "volume"),
        ("to_server_bytes", str(to_server)),
        ("to_client_bytes", str(to_client)),
    )


@pytest.mark.parametrize(
    "steps",
    [
        [Sealed(1, False)],  # a login, or nothing
        [Sealed(1, False), Sealed(2, False), Sealed(2, True)],  # the key came late
        [Sealed(1, False), classic(C, 43, b"PlainText")],  # NFC in clear
    ],
)
def test_nothing_is_made_up_of_sealed_flows(steps: list[Step]) -> None:
    assert tell(authd(), [line(S, BANNER), *steps], (10**9, 10**9)) == []
