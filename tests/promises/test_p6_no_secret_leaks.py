"""P6: no secret, token or ticket in a log line, repr, traceback or error answer.

The child processes of the whole test run are searched in `tests/e2e/test_secrets.py`.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import logging
import pkgutil
import traceback

import anyio
import pytest

import wxtoken_asgi
from wxtoken_asgi import WxTokenError

from support.fleet import http_client
from support.secrets import Vault
from support.world import SECRETS


def leaks(text, secrets):
    vault = Vault()
    for secret in secrets:
        vault.add("a secret", secret)
    vault.hear("what was said", text)
    return vault.leaks()


def test_the_search_bites():
    assert leaks("x secret-of-alpha-0000 y", ["secret-of-alpha-0000000000000000"])
    assert leaks(base64.b64encode(b"secret-of-alpha").decode(), ["secret-of-alpha"])


async def test_nothing_said_while_everything_goes_wrong_holds_a_secret(world, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    told = []
    values = set()

    def on_error(event):
        told.append(repr(event))

    def on_token(event):
        told.append(repr(event))
        raise RuntimeError("a hook that fails")

    tokens = world.manager(
        world.account("alpha", tickets=["jsapi"]), world.account("beta"), on_error=on_error, on_token=on_token
    )
    async with tokens, http_client(tokens) as http:
        for fault in ("errcode", "status", "garbage", "empty", "half", "reset", "hang", "away"):
            world.sandbox.heal()
            await anyio.sleep(400)
            for name in ("alpha", "beta"):
                values.add(await tokens.access_token(name))
            values.add(await tokens.jsapi_ticket("alpha"))
            world.sandbox.fail(fault, errcode=40164, times=None)
            for name in ("alpha", "beta"):
                for dead in (None, await tokens.access_token(name)):
                    try:
                        await tokens.refresh(name, dead=dead)
                    except WxTokenError as error:
                        told.extend([repr(error), "".join(traceback.format_exception(error))])
                told.append((await http.put(f"/token/{name}", content=dead)).text)
            told.append((await http.put("/token/alpha", content=b"{" + dead.encode())).text)
            told.extend(
                [repr(tokens), repr(tokens.statistics()), repr(tokens.entry("alpha", "access_token").held)]
            )
            told.extend(repr(account) for account in tokens.accounts)
            told.append((await http.get("/health/ready")).text)
            told.append((await http.get("/token/nope")).text)
            told.append((await http.get("/js-config/alpha")).text)
        await anyio.sleep(1)
    said = "\n".join([*told, caplog.text, *(repr(record.args) for record in caplog.records)])
    assert "a hook that fails" in said
    assert len(said) > 10_000
    assert leaks(said, [*SECRETS.values(), *values]) == []


@pytest.mark.parametrize("base", ["http://api.weixin.qq.com", "http://10.0.0.1", "http://127.0.0.1.evil.com"])
def test_plain_http_to_wechat_only_on_loopback(world, base):
    with pytest.raises(WxTokenError, match="api_base"):
        world.account("alpha", api_base=base)
    world.account("alpha", api_base="http://127.0.0.1:8080")


VALUES = {"value", "dead", "parent", "tried", "held", "secret", "body", "password", "client_key", "state"}
HARMLESS = {
    "CredentialStatistics.state",  # fresh, due, ...
    "Kind.parent",  # the name of a kind
    "Ready.held",  # `Held` hides its value
    "Setting.secret",  # whether it is one
}


def records():
    """All dataclasses of the package that write their own `repr` out of their fields."""
    for module in pkgutil.walk_packages(wxtoken_asgi.__path__, "wxtoken_asgi."):
        if "sandbox" in module.name or "testing" in module.name:
            continue
        for found in vars(importlib.import_module(module.name)).values():
            if isinstance(found, type) and dataclasses.is_dataclass(found):
                yield from [found] * hasattr(found.__repr__, "__wrapped__")


def test_no_record_of_the_package_shows_what_may_be_a_secret():
    """Also of those that live for a moment only, and are seen in a traceback by chance."""
    every = set(records())
    assert len(every) > 30
    shown = {
        f"{record.__name__}.{field.name}"
        for record in every
        for field in dataclasses.fields(record)
        if field.repr and field.name in VALUES
    }
    assert shown == HARMLESS
