"""What all tests share."""

from __future__ import annotations

import os
import sys

import pytest

# A machine that runs the tests in a pod would be warned of its stores in every test.
os.environ.pop("KUBERNETES_SERVICE_HOST", None)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


LONGEST = (
    "two_days",
    "away_at_every_age",
    "do_not_exceed_the_fetch",
    "away_for_a_day",
    "day_of_hammering",
    "manager/test_fleet.py",
    "two_thousand_accounts",
    "after_24_hours",
    "away_for_three_hours",
    "is_replaced_once_the_store_is_back",
)
"""Where hours of virtual time pass."""

UNTRACED = (
    *LONGEST,
    "tests/docs/",
    "tests/e2e/",
    "tests/fuzz/",
    "tests/matrix/",
    "tests/processes/",
    "tests/promises/",
    "tests/proxies/",
    "tests/simulation/",
)
"""What takes long where each line is traced; others cover the same lines. Of a test that runs on both
backends the one on asyncio is traced: the package has no lines of its own for either."""

TRACED_CHILDREN = "COVERAGE_PROCESS_START"


def pytest_collection_modifyitems(items):
    """The longest begin first: with several workers nobody waits for one of them at the end."""
    items.sort(key=lambda item: not _is_one_of(item, LONGEST))


def _is_one_of(item, words):
    return any(word in item.nodeid for word in words)


def _is_on_trio(item):
    return "trio" in item.nodeid.partition("[")[2].rstrip("]").split("-")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """What is not to be traced is not, nor are its child processes."""
    if not _is_one_of(item, UNTRACED) and not _is_on_trio(item):
        return (yield)
    tracer, children = sys.gettrace(), os.environ.pop(TRACED_CHILDREN, None)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
        if children is not None:
            os.environ[TRACED_CHILDREN] = children


def pytest_sessionfinish(session, exitstatus):
    """In CI nothing may be skipped: what a machine lacks is to be installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
