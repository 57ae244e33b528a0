"""The processes' launcher, and the search for secrets in what they said."""

from __future__ import annotations

import pytest

from processes.places import shared_store
from support.launcher import Launcher
from support.secrets import Vault
from support.workers import WeChat, assert_no_leak


@pytest.fixture(scope="module")
def vault():
    """Every secret of a module; at its end all that the processes left behind is searched for them."""
    vault = Vault()
    yield vault
    assert len(vault) > 1
    assert_no_leak(vault)


@pytest.fixture
def launch(tmp_path, vault):
    """Starts programs."""
    with Launcher(tmp_path, vault) as launcher:
        yield launcher


@pytest.fixture
def wechat(launch, vault):
    """The one WeChat process."""
    return WeChat(launch, vault)


@pytest.fixture(params=["sqlite", "redis"])
def store(request, tmp_path, vault):
    """An address of a store that is empty."""
    with shared_store(request.param, tmp_path, vault) as address:
        yield address
