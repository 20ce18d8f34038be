"""Every docstring example of the package runs and prints what it says."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import mdpkit


def modules():
    names = ["mdpkit"]
    for info in pkgutil.walk_packages(mdpkit.__path__, "mdpkit."):
        if not info.name.endswith("__main__"):
            names.append(info.name)
    return names


@pytest.mark.parametrize("name", modules())
def test_examples(name):
    found = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0
