"""The pytest fixture, as a user's test suite gets it."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from wxtoken_asgi.sandbox import Sandbox


async def test_the_fixture_is_a_sandbox_with_an_account(anyio_backend, wxtoken_sandbox):
    assert isinstance(wxtoken_sandbox, Sandbox)
    assert wxtoken_sandbox.account == ("wx0000000000000001", "sandbox-secret")
    appid, secret = wxtoken_sandbox.account
    transport = wxtoken_sandbox.transport()
    assert isinstance(transport, httpx.ASGITransport)
    async with httpx.AsyncClient(transport=transport, base_url="https://api.weixin.qq.com") as http:
        params = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        token = (await http.get("/cgi-bin/token", params=params)).json()["access_token"]
    assert wxtoken_sandbox.accepts(token)


@pytest.mark.parametrize("time", ["first", "second"])
def test_the_fixture_is_fresh_for_each_test(wxtoken_sandbox, time):
    assert wxtoken_sandbox.count() == 0
    wxtoken_sandbox.outside_fetch("wx0000000000000001")
    assert wxtoken_sandbox.state("wx0000000000000001")["used_today"]["token"] == 1


def test_a_start_of_pytest_loads_no_library_for_it():
    program = """
import sys, pytest, wxtoken_asgi
before = set(sys.modules)
import wxtoken_asgi.sandbox.pytest_plugin
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded & {"httpx", "httpx2", "starlette", "trio", "uvicorn"}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_pytest_finds_the_fixture_by_its_entry_point(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("wxtoken_sandbox")
