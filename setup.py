"""Installs the checkout in place (`pip install -e .`), and refuses to become a wheel.

A wheel would lack `conf/`, and its packages (`metrics`, `records`, `runs`) would take names that
are others' as well.
"""

from typing import NoReturn

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.sdist import sdist


def refuse(_: object) -> NoReturn:
    """Says what to do instead.

    Raises:
        SystemExit: always.
    """
    raise SystemExit("onegig runs from its checkout and is no wheel; type: pip install -e .")


class Wheel(bdist_wheel):
    """Of an installation in place this command makes no more than the metadata."""

    run = refuse


class SourceArchive(sdist):
    """What a wheel would be built of."""

    run = refuse


setup(cmdclass={"bdist_wheel": Wheel, "sdist": SourceArchive})
