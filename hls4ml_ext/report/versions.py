"""Versions of the packages that results depend on. Nothing is imported to know them."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ('hls4ml-ext', 'hls4ml', 'keras', 'tensorflow', 'qkeras-v3', 'numpy')


def installed(more: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python and of :data:`PACKAGES`, by name; 'not installed' where a package isn't.

    Args:
        more: Packages to add.
    """
    found = {'python': platform.python_version()}
    for package in dict.fromkeys((*PACKAGES, *more)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = 'not installed'
    return found
