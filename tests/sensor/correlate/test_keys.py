"""Operation ids: whose child is whose."""

import pytest

from sensor.correlate.keys import is_background, parent_ids


@pytest.mark.parametrize(
    ("operation_id", "expected"),
    [
        ("", []),
        ("abc", ["abc"]),
        ("root-5c-01", ["root-5c-01", "root-5c", "root"]),
        (
            "lgfd4abh-18745-auto-egq-h5:70005734-88",
            [
                "lgfd4abh-18745-auto-egq-h5:70005734-88",
                "lgfd4abh-18745-auto-egq-h5:70005734",
                "lgfd4abh-18745-auto-egq",
                "lgfd4abh-18745-auto",
                "lgfd4abh-18745",
                "lgfd4abh",
            ],
        ),
        ("-a", ["-a"]),
    ],
)
def test_parents_are_prefixes_at_dashes_longest_first(
    operation_id: str, expected: list[str]
) -> None:
    assert list(parent_ids(operation_id)) == expected


def test_an_id_made_of_dashes_is_bounded() -> None:
    assert len(list(parent_ids("-a" * 1000))) < 100


@pytest.mark.parametrize(
    "operation_id",
    [
        "HB-host-4018@101-32779840-2d",
        "WFU-34799d2d",
        "PollQuickStatsLoop-27bd305b-fb",
        "TaskLoop-host-39",
        "CheckforMissingHeartbeats-7",
        "resourcePoolImpl.cpp:1737-25c61c82",
    ],
)
def test_background_roots(operation_id: str) -> None:
    assert is_background(operation_id)


@pytest.mark.parametrize(
    "operation_id",
    ["", "kgrn0jic-60240-auto-1ahd-h5:70006249-5c-01", "oslo.vmware-1f", "my-HB-1", "esxui-8c02"],
)
def test_other_roots(operation_id: str) -> None:
    assert not is_background(operation_id)
