"""Five levels live: proxy, portal, cloud, vCenter, host, and the guest below, six people at work.

Every level passes the request's id on, in clear and in TLS; and in clear once none does.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import Record, hoptap, write_config
from tests.lab.five_levels import SQUID_HELPER, SWITCH, open_lab
from tests.lab.levels import (
    CLOUD,
    GUEST_PASSWORD,
    HOSTS,
    KEYSTONE,
    PASSWORD,
    PEOPLE,
    PORTAL,
    PORTAL_ACCOUNT,
    PROXY,
    VCENTER,
    at,
)
from tests.lab.namespaces import wait_for
from tests.lab.sensor import listening
from tests.leaks import leaks
from tests.levels_truth import Judged, as_last_said, judged

pytestmark = [pytest.mark.namespace, pytest.mark.server]

TOLD_S = 60  # on a machine that is busy with other tests


@dataclass(frozen=True, slots=True)
class Seen:
    with_ids: bool
    with_tls: bool
    did: list[dict[str, Any]]
    records: list[Record]
    judged: list[Judged]
    check: str  # what `hoptap check` says then


@pytest.fixture(scope="module", params=["ids", "tls", "no-ids"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    if not shutil.which("squid") or not SQUID_HELPER.exists():
        pytest.skip("no squid")
    directory = tmp_path_factory.mktemp(request.param)
    with_ids = request.param != "no-ids"
    keys = directory / "people.keys" if request.param == "tls" else None
    with open_lab() as lab:
        out = directory / "hop.ndjson"
        with listening(lab.switch, SWITCH, _config(directory, with_ids, keys), out) as sensor:
            lab.start(directory, with_ids=with_ids, keys=keys)
            did = lab.work(calm=0, rounds=4) if with_ids else lab.work(calm=1, rounds=2)
            wait_for(lambda: _told(sensor.records(), did), "the records of all they did", TOLD_S)
            records = sensor.stop()
    check = hoptap("check", "-c", directory / "hoptap.toml", "-i", "lo").stdout
    return Seen(with_ids, keys is not None, did, records, judged(did, records), check)


def _config(directory: Path, with_ids: bool, keys: Path | None) -> Path:
    """Without ids the site says who the portal is: else its first calls would be its own doing."""
    portal = {"id": "KEY", "addresses": [PORTAL.ip], "accounts": [PORTAL_ACCOUNT]}
    logs = [] if keys is None else [str(keys)]
    return write_config(
        directory,
        service=[] if with_ids else [portal],
        history={"enabled": True, "path": str(directory / "history.db")},
        keys={"decrypt": keys is not None, "logs": logs},
    )


def _told(records: list[Record], did: list[dict[str, Any]]) -> bool:
    """Is there a record of each program at each level's call?"""
    guests = [each["guest_user"] for each in as_last_said(records) if "guest_user" in each]
    return len(guests) >= 2 * len(did)  # at the vCenter and at the host


def test_who_started_each_program(seen: Seen) -> None:
    """The chain is right; where nothing was passed on, the right one may be a candidate."""
    for each in seen.judged:
        said = (each.record["chain"]["path"], each.record["hop"], each.did)
        assert each.is_right or each.is_candidate, said
        if each.is_stated:
            assert each.is_right, said


def test_ids_and_time_decide(seen: Seen) -> None:
    """With ids a chain is certain. Without, who had been alone is right all the same."""
    alone = [each for each in seen.judged if each.was_alone(seen.did)]
    decided = seen.judged if seen.with_ids else alone
    assert decided
    for each in decided:
        said = (each.record["chain"], each.record["hop"], each.did)
        assert each.is_right or each.is_likeliest, said
        if seen.with_ids or each.did["user"] == "frank":
            assert each.is_right and each.is_stated, said


def test_the_proxys_users(seen: Seen) -> None:
    logins = as_last_said(seen.records, "login")
    by_proxy = {each["to"]["user"] for each in logins if each["to"].get("service") == "PXY"}
    assert by_proxy == {person.name for person in PEOPLE if person.proxy}
    for each in logins:
        for person in PEOPLE:
            if each["to"].get("user") == person.account and each["to"]["service"] == person.entry:
                assert each["from"]["ip"] == person.ip  # not the proxy's
                assert each["chain"]["path"].startswith("PXY:") == person.proxy
    assert PROXY.ip not in {each["from"]["ip"] for each in logins}


def test_every_level_is_told_once(seen: Seen) -> None:
    """The two legs of the proxy are one call."""
    counted = {service: 0 for service in ("KEY", "VCD", "VC", "ESX")}
    for each in as_last_said(seen.records):
        counted[each["to"]["service"]] += 1
    rounds = len(seen.did) // len(PEOPLE)
    portal = sum(person.entry == "KEY" for person in PEOPLE) * rounds
    assert counted == {
        "KEY": portal,
        "VCD": portal + rounds,
        "VC": portal + 2 * rounds,
        "ESX": len(seen.did),
    }


def test_what_was_read_in_tls(seen: Seen) -> None:
    for each in as_last_said(seen.records):
        in_tls = seen.with_tls and each["to"]["service"] in ("KEY", "VCD")
        assert each["visibility"] == ("decrypted" if in_tls else "clear")


def test_which_service_is_where_was_learned_and_kept(seen: Seen) -> None:
    learned = {
        line.split()[2].rstrip(":"): set(re.findall(r"10\.92\.\S+", line))
        for line in seen.check.splitlines()
        if re.search(r" learned [A-Z]+:", line)
    }
    assert learned == {
        "PXY": {PROXY.ip},
        "KEY": {at(KEYSTONE), at(PORTAL)},
        "VCD": {at(CLOUD)},
        "VC": {at(VCENTER)},
        "ESX": {at(host) for host in HOSTS},
    }
    assert " learned account vpxuser: VC acts under it at ESX, from " in seen.check
    assert " learned inventory: " in seen.check


def test_nothing_is_missing_or_secret(seen: Seen) -> None:
    assert "gap" not in {each["kind"] for each in seen.records}
    secrets = {PASSWORD: "password", GUEST_PASSWORD: "guest password"}
    assert leaks(json.dumps(seen.records).encode(), secrets) == []
