"""Real servers behind a real nginx: the modules of this folder are found by its tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from proxies_stage import Stage

from support.nginx import needs_nginx


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    """One nginx, and behind it every server that a test has asked for."""
    needs_nginx()
    if sys.platform != "linux":
        pytest.skip("needs 127.0.0.2 and 127.0.0.3, which Linux has")
    with Stage(tmp_path_factory.mktemp("proxies")) as stage:
        yield stage
