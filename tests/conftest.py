"""Options and rules of the whole suite: golden output is rewritten on request; CI skips nothing."""

import os
import shutil
from collections.abc import Generator

import pytest

from tests.lab.namespaces import namespaces_work

Reports = Generator[None, pytest.TestReport, pytest.TestReport]
CollectReports = Generator[None, pytest.CollectReport, pytest.CollectReport]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite expected output of captures")
    parser.addoption(
        "--compiler",
        action="append",
        help="compiler of the C tests; may be repeated. Otherwise gcc, else clang",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if item.get_closest_marker("namespace") and not namespaces_work():
            item.add_marker(pytest.mark.skip(reason="cannot make network namespaces"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "compiler" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--compiler")
        found = [name for name in ("gcc", "clang") if shutil.which(name)][:1]
        metafunc.parametrize("compiler", chosen or found, scope="session")


@pytest.fixture(scope="session")
def update(request: pytest.FixtureRequest) -> bool:
    """True when golden output is to be rewritten; a person then reads the diff."""
    return bool(request.config.getoption("--update"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Reports:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, and on CI nothing may be: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> CollectReports:
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, and on CI nothing may be: {report.longrepr}"
    return report
