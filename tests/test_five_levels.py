"""The recorded captures of five levels: who started each program in a guest, as the people say.

tests/lab/record_levels.py recorded them: once every level passes the request's id
on, once none does.
"""

import pytest

from tests.command import Record, hoptap, read_records, write_config
from tests.lab.levels import GUEST_PASSWORD, PASSWORD, PEOPLE, PORTAL, PORTAL_ACCOUNT
from tests.leaks import leaks
from tests.levels_truth import Judged, as_last_said, judged
from tests.packaged import capture_of, truth_of

NAMES = ["five-levels", "five-levels-noopid"]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def records(name: str, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Of a site that says who the portal is: its first calls, too, are somebody's."""
    directory = tmp_path_factory.mktemp(name)
    portal = {"id": "KEY", "addresses": [PORTAL.ip], "accounts": [PORTAL_ACCOUNT]}
    config, out = write_config(directory, service=[portal]), directory / "out.ndjson"
    hoptap("replay", "-c", config, "--out", out, capture_of(name))
    return read_records(out)


@pytest.fixture(scope="module")
def found(name: str, records: list[Record]) -> list[Judged]:
    return judged(truth_of(name)["did"], records)


def test_ids_decide_every_chain(name: str, found: list[Judged]) -> None:
    with_ids = [each for each in found if name == "five-levels" or each.did["user"] == "frank"]
    assert len(with_ids) >= 4
    for each in with_ids:
        assert each.is_right and each.is_stated, (each.record["chain"], each.did)


def test_without_ids_the_right_one_is_said_or_among_the_candidates(found: list[Judged]) -> None:
    for each in found:
        assert each.is_right or each.is_candidate, (each.record["chain"], each.did)
        assert each.is_right or not each.is_stated


def test_who_was_alone_is_found_by_time(name: str, found: list[Judged]) -> None:
    did = [each.did for each in found]
    alone = [each for each in found if each.was_alone(did)]
    assert all(each.is_right or each.is_likeliest for each in alone)
    if name == "five-levels-noopid":  # with ids nobody waited until the others were done
        assert len(alone) == len(PEOPLE)


def test_logins(records: list[Record]) -> None:
    """Each person once, from his own address, at his own level, after his account at the proxy."""
    logins = as_last_said(records, "login")
    assert {each["outcome"] for each in logins} == {"success"}  # 407 is no refusal of a service
    for person in PEOPLE:
        mine = [each for each in logins if each["from"]["ip"] == person.ip]
        front = [f"PXY:{person.name}"] if person.proxy else []
        entry = f"{person.entry}:{person.account}"
        paths = {*front, ":".join([*front, entry])}
        assert {each["chain"]["path"] for each in mine} == paths, person


def test_nothing_is_secret(records: list[Record]) -> None:
    secrets = {PASSWORD: "password", GUEST_PASSWORD: "guest password"}
    assert leaks(str(records).encode(), secrets) == []
