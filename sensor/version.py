"""The version that is installed."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def version() -> str:
    try:
        return installed_version("hoptap")
    except PackageNotFoundError:  # run from a source tree
        return "0+unknown"
