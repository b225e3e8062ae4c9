"""The kit runs on both stores: a file, and a database that gateways share.

What no store has a part in runs on the database only in full numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from tests.support.databases import MISSING, REQUIRED, Cluster, binaries, cluster
from tests.support.gateways import DATABASES

FULL = os.environ.get("AITOKEN_BILLING") == "full"
STORED = re.compile(r"test_(shared|(b\d+_)*b(11|12|13|14|15|16|18|25|39)_)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process has the cluster."""
    for item in list(items):
        callspec = getattr(item, "callspec", None)
        kept_in = None if callspec is None else callspec.params.get("kept_in")
        if kept_in == "postgres":
            item.add_marker(pytest.mark.xdist_group("billing"))
            if not FULL and STORED.match(item.name) is None:
                items.remove(item)
        elif kept_in == "sqlite" and item.name.startswith("test_shared"):
            items.remove(item)  # a file has one gateway


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A cluster that runs."""
    if binaries() is None:
        (pytest.fail if REQUIRED else pytest.skip)(MISSING)
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"], autouse=True)
def kept_in(request: pytest.FixtureRequest) -> Iterator[str]:
    """Keep the stores of a test in one or the other."""
    if request.param == "postgres":
        DATABASES.append(request.getfixturevalue("postgres"))
    yield request.param
    DATABASES.clear()
