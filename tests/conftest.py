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
    "ten_thousand_accounts",
    "after_24_hours",
    "tests/fuzz/",
    "tests/simulation/",
)
"""Where hours of virtual time pass, or thousands of inputs."""


def pytest_collection_modifyitems(items):
    """The longest begin first: with several workers nobody waits for one of them at the end."""
    items.sort(key=lambda item: not _is_long(item))


def _is_long(item):
    return any(name in item.nodeid for name in LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """What is long is not traced: it would take four times as long, and others cover the same lines."""
    if not _is_long(item):
        return (yield)
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


def pytest_sessionfinish(session, exitstatus):
    """In CI nothing may be skipped: what a machine lacks is to be installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
