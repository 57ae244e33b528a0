"""Programs, sandboxes and the search for secrets that all end-to-end tests share."""

from __future__ import annotations

import pytest

from support.launcher import Launcher, wechat_server
from support.secrets import Vault


@pytest.fixture(scope="session")
def vault():
    """Every secret of the run; at its end all that the children left behind is searched for them."""
    vault = Vault()
    yield vault
    leaks = vault.leaks()
    assert not leaks, "\n".join(map(str, leaks))


@pytest.fixture
def wechat(vault):
    """A sandbox on a real socket, with the account alpha."""
    with wechat_server(vault) as server:
        server.add("alpha")
        yield server


@pytest.fixture
def launch(tmp_path, vault):
    """Starts programs."""
    with Launcher(tmp_path, vault) as launcher:
        yield launcher
