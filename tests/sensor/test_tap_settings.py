"""Taps as the command line names them, and what `hoptap check` says of them."""

import pytest

from sensor.exits import ConfigError, UsageError
from sensor.finding import Finding, Level
from sensor.settings import CaptureSettings, KeySettings, SensorSettings, Settings
from sensor.tap_checks import tap_findings
from sensor.tap_settings import KEYS, TapSettings, problems, with_asked
from sensor.taps import Taps

LIBRARY = "/usr/lib/libssl.so.3"


def test_the_command_line_adds_to_the_file() -> None:
    given = (TapSettings(id="proxy", process="nginx"),)
    asked = {"tap": ["haproxy", "4711"], "tap_keys": [LIBRARY], "tap_machine_wide": True}
    assert with_asked(given, asked) == (
        *given,
        TapSettings(id="haproxy", process="haproxy"),
        TapSettings(id="4711", pid=4711),
        TapSettings(id=LIBRARY, library=LIBRARY, mode=KEYS, machine_wide=True),
    )
    assert with_asked(given, {}) == given


@pytest.mark.parametrize("option", ["tap", "tap_keys"])
def test_a_library_is_asked_for_twice(option: str) -> None:
    with pytest.raises(UsageError, match="say --tap-machine-wide, or name a process or pid"):
        with_asked((), {option: [LIBRARY]})


@pytest.mark.parametrize("option", ["tap", "tap_keys"])
@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("0", "a PID is from 1 to 4194304"),
        ("4194305", "a PID is from 1 to 4194304"),
        ("9" * 5000, "a PID is from 1 to 4194304"),
        ("./libssl.so.3", "named by its path from /: /"),
        ("lib/libssl.so.3", "named by its path from /: /"),
        ("", "name a process, a PID or a library"),
    ],
)
def test_what_can_be_no_target_is_refused(option: str, target: str, problem: str) -> None:
    for wide in (False, True):
        with pytest.raises(UsageError, match=problem) as raised:
            with_asked((), {option: [target], "tap_machine_wide": wide})
        assert "machine" not in str(raised.value)


def of_tap(settings: Settings) -> list[Finding]:
    return [each for each in tap_findings(settings) if each.subject == "tap a"]


def test_a_check_says_what_a_tap_lacks() -> None:
    tap = TapSettings(id="a", process="no-such-program")
    [lacking] = of_tap(Settings(tap=(tap,)))
    assert (lacking.level, lacking.text.split(":")[0]) == (Level.NOTE, "there is no such process")


def test_a_check_says_when_a_tap_would_not_open() -> None:
    tap = TapSettings(id="a", library="/no/such/file", machine_wide=True)
    [lacking] = of_tap(Settings(tap=(tap,)))
    assert lacking.level is Level.PROBLEM
    assert lacking.text.startswith("No such file or directory: there is no /no/such/file")


@pytest.mark.parametrize("key", ["exe", "user", "any_owner"])
def test_only_a_name_has_to_be_narrowed(key: str) -> None:
    value = True if key == "any_owner" else "/usr/sbin/nginx"
    given = {key: value}
    told = [where for _, where, _ in problems([TapSettings(id="a", pid=1, **given)], False)]  # type: ignore[arg-type]
    assert told == [key]
    assert not list(problems([TapSettings(id="a", process="x", **given)], False))  # type: ignore[arg-type]


def test_whose_processes() -> None:
    uids = [TapSettings(user=user).uid() for user in ("", "0", "root", "1000")]
    assert uids == [None, 0, 0, 1000]
    tap = TapSettings(id="a", process="nginx", user="no-such-user")
    with pytest.raises(ConfigError, match="tap a: user: there is no no-such-user"):
        tap.uid()
    with pytest.raises(ConfigError, match="no-such-user"):
        Taps([tap])
    [found] = of_tap(Settings(tap=(tap,)))
    assert (found.level, "no-such-user" in found.text) == (Level.PROBLEM, True)


def test_a_check_says_that_a_user_gives_rights_up() -> None:
    tap = TapSettings(id="a", process="no-such-program")
    found = tap_findings(Settings(tap=(tap,), sensor=SensorSettings(user="hoptap")))
    assert any(each.text.startswith("sensor.user = hoptap gives up") for each in found)


def test_a_check_says_that_secrets_need_packets() -> None:
    tap = TapSettings(id="a", process="no-such-program", mode=KEYS)
    keys = KeySettings(decrypt=True)
    texts = [each.text for each in of_tap(Settings(tap=(tap,), keys=keys))]
    assert any(text.startswith("reads TLS secrets, but there are no packets") for text in texts)
    capture = CaptureSettings(interfaces=("lo",))
    assert len(of_tap(Settings(tap=(tap,), keys=keys, capture=capture))) == len(texts) - 1


def test_without_a_tap_a_check_says_whether_one_could_be_opened() -> None:
    [found] = tap_findings(Settings())
    assert found.level is Level.NOTE
    assert found.text.startswith(("none; one could be opened", "could be opened but for: "))
