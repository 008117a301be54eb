"""The shape of the tree: imports point down the path, files stay short, C knows Python once."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points, packages_distributions, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("decoders", "exporters", "sensor")

# From what everything may use down to what uses everything. A module imports from layers above its
# own line only; a package may import within itself.
LAYERS: list[tuple[str, ...]] = [
    ("decoders",),
    # vocabulary, and modules that know nothing of the others
    ("sensor.counted", "sensor.metric_help"),
    ("sensor._core", "sensor.core_help", "sensor.exits", "sensor.records"),
    ("sensor.processes",),
    ("sensor.flows",),
    ("sensor.families", "sensor.record_counts"),
    ("sensor.metrics", "sensor.process_metrics"),
    ("sensor.interfaces", "sensor.notify", "sensor.progress", "sensor.table", "sensor.version"),
    ("sensor.setting", "sensor.when"),
    (
        "sensor.alert_settings",
        "sensor.evidence_settings",
        "sensor.service_settings",
        "sensor.tap_settings",
    ),
    ("sensor.sink_types",),
    ("sensor.sink_settings",),
    ("sensor.settings",),
    ("exporters",),
    ("sensor.config", "sensor.hashing", "sensor.privileges", "sensor.status", "sensor.terminal"),
    ("sensor.site",),
    # the path of a packet, once it is in Python
    ("sensor.workers", "sensor.tls"),
    ("sensor.bpf",),
    ("sensor.streams",),
    ("sensor.callers", "sensor.lateness"),
    ("sensor.gaps", "sensor.legs", "sensor.services", "sensor.sessions", "sensor.tls_legs"),
    ("sensor.correlate",),
    ("sensor.levels",),
    ("sensor.recording",),
    ("sensor.alerts", "sensor.session_records"),
    ("sensor.guests", "sensor.hosts", "sensor.lineage", "sensor.opened"),
    ("sensor.accounts",),
    ("sensor.calls", "sensor.logins", "sensor.sealed"),
    ("sensor.proxyusers",),
    ("sensor.learned",),
    ("sensor.knowledge",),
    ("sensor.analysis",),
    ("sensor.history", "sensor.outputs", "sensor.receivers"),
    ("sensor.sinks",),
    ("sensor.keybuffer",),
    ("sensor.keylog", "sensor.keyports"),
    ("sensor.keys", "sensor.taps"),
    # the program around it
    ("sensor.app", "sensor.evidence", "sensor.finding", "sensor.report"),
    ("sensor.arguments", "sensor.paths"),
    (
        "sensor.accuracy_checks",
        "sensor.evidence_checks",
        "sensor.key_checks",
        "sensor.service_checks",
        "sensor.tap_checks",
    ),
    ("sensor.overrides", "sensor.sendtest", "sensor.sink_checks"),
    ("sensor.checks", "sensor.correlation", "sensor.live", "sensor.replay", "sensor.who"),
    ("sensor.verify",),
    ("sensor.demonstration",),
    ("sensor.cli",),
]
EXPORTERS_MAY_IMPORT = {"exporters", "sensor.records", "sensor.metrics"}
# Decoders are sans-IO: no sockets, files, threads, logs or clocks.
IMPURE = {
    "asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
}  # fmt: skip
MODULES = {"nats_py": "nats"}  # distributions whose module has another name
NO_HOME = {"utils", "util", "common", "helpers", "manager", "misc"}
PYTHON_LINES_MAX, C_LINES_MAX = 400, 600


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield from (_submodule(node.module, alias.name) for alias in node.names)


def _submodule(module: str, name: str) -> str:
    """`from sensor import metrics` names a module, `from sensor.metrics import x` does not."""
    below = ROOT.joinpath(*module.split("."), name)
    is_module = any(below.with_suffix(suffix).exists() for suffix in (".py", ".pyi"))
    return f"{module}.{name}" if is_module or below.is_dir() else module


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def layer_of(name: str) -> int | None:
    for number, layer in enumerate(LAYERS):
        if any(within(name, prefix) for prefix in layer):
            return number
    return None


def ours(name: str) -> bool:
    return name.split(".")[0] in PACKAGES


def test_every_module_has_a_layer_and_every_layer_a_module() -> None:
    modules = {name_of(path) for path in sources(*PACKAGES)} - {"sensor"} | {"sensor._core"}
    assert {name for name in modules if layer_of(name) is None} == set()
    named = {prefix for layer in LAYERS for prefix in layer}
    assert {each for each in named if not any(within(name, each) for name in modules)} == set()


def test_imports_point_down_the_path() -> None:
    wrong = []
    for path in sources(*PACKAGES):
        importer = name_of(path)
        for imported in filter(ours, imports(path)):
            at, of = layer_of(importer), layer_of(imported)
            same = any(
                within(importer, prefix) and within(imported, prefix)
                for layer in LAYERS
                for prefix in layer
            )
            if not same and (at is None or of is None or of >= at):
                wrong.append(f"{importer} imports {imported}")
    assert wrong == []


def test_decoders_are_sans_io() -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in sources("decoders")
        for name in imports(path)
        if name.split(".")[0] in IMPURE
        or not (within(name, "decoders") or name.split(".")[0] in sys.stdlib_module_names)
    ]
    assert wrong == []


def declared_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra, group in project.get("optional-dependencies", {}).items():
        requirements += group if extra != "dev" else []
    names = {re.split(r"[^a-z0-9_-]", each.lower())[0].replace("-", "_") for each in requirements}
    return {MODULES.get(name, name) for name in names}


def test_exporters_know_records_and_metrics_only() -> None:
    outside = set(sys.stdlib_module_names) | declared_dependencies()
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in sources("exporters")
        for name in imports(path)
        if name.split(".")[0] not in outside
        and not any(within(name, allowed) for allowed in EXPORTERS_MAY_IMPORT)
    ]
    assert wrong == []


def test_the_sensor_imports_only_what_it_declares() -> None:
    outside = set(sys.stdlib_module_names) | declared_dependencies()
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in sources("sensor")
        for name in imports(path)
        if not ours(name) and name.split(".")[0] not in outside
    ]
    assert wrong == []


def test_every_module_has_a_home() -> None:
    everything = [*sources(*PACKAGES, "tests"), *(ROOT / "sensor").rglob("*.[ch]")]
    assert [path for path in everything if NO_HOME & set(path.stem.split("_"))] == []


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize(
    ("pattern", "lines_max"),
    [("*.py", PYTHON_LINES_MAX), ("*.pyi", PYTHON_LINES_MAX), ("*.[ch]", C_LINES_MAX)],
)
def test_files_stay_short(pattern: str, lines_max: int) -> None:
    files = [path for top in (*PACKAGES, "tests") for path in (ROOT / top).rglob(pattern)]
    long = {str(path): len(path.read_text().splitlines()) for path in files}
    assert {path: lines for path, lines in long.items() if lines > lines_max} == {}


def test_only_the_module_knows_python() -> None:
    core = ROOT / "sensor" / "core"
    knows = re.compile(r'#\s*include\s*[<"](Python\.h|module\.h)[>"]')
    found = {path.name for path in core.glob("*.[ch]") if knows.search(path.read_text())}
    assert found
    assert {name for name in found if not name.startswith("module")} == set()


def test_the_extension_is_made_of_every_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [extension] = project["tool"]["setuptools"]["ext-modules"]
    for key, pattern in (("sources", "*.c"), ("depends", "*.h")):
        files = (ROOT / "sensor" / "core").glob(pattern)
        assert extension[key] == sorted(str(path.relative_to(ROOT)) for path in files), key


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_names_are_ours_alone(package: str) -> None:
    """All three names exist on PyPI; an environment where another package owns one is broken."""
    assert set(packages_distributions()[package]) == {"hoptap"}


def test_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version("hoptap") == project["version"]
    [command] = entry_points(group="console_scripts", name="hoptap")
    assert command.value == "sensor.cli:main"
