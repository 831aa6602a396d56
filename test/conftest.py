# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import rig  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures a rate; ./dev runs it with nothing beside it")


def daemons(base):
    made = []

    def make(yaml, start=True, orderly=True, **more):
        directory = base / f"d{len(made)}"
        directory.mkdir()
        d = rig.Osbd(directory, yaml, **more)
        made.append((d, orderly))
        return d.start() if start else d

    yield make
    for d, orderly in made:
        try:
            if orderly and d.process and d.process.poll() is None:
                d.stop()
        finally:
            d.close()


@pytest.fixture
def osbd(tmp_path):
    """Makes daemons: osbd(yaml) starts one. Each is ended in good order after the test."""
    yield from daemons(tmp_path)


@pytest.fixture(scope="module")
def osbd_module(tmp_path_factory):
    """The same, for daemons that all tests of a file share."""
    yield from daemons(tmp_path_factory.mktemp("osbd"))
