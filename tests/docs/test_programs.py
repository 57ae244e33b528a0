"""Every Python and TOML block of the pages is run."""

from __future__ import annotations

import os
import subprocess
import sys

import anyio
import pytest
from docs_pages import DOCS, Block, all_blocks
from docs_wechat import APPID, SECRET, awaits_at_its_top, served

from wxtoken_asgi import Account, ConfigError, TokenManager, WxTokenMiddleware
from wxtoken_asgi.config import Config, load
from wxtoken_asgi.keys import Key, new_key

PYTHON = all_blocks("python")
STORES = [block for block in PYTHON if "(StoreContract)" in block.text]
TESTS = [block for block in PYTHON if "\ndef test_" in block.text or "\nasync def test_" in block.text]
FRAGMENTS = [block for block in PYTHON if awaits_at_its_top(block.text)]
MODULES = [block for block in PYTHON if block not in (*TESTS, *STORES, *FRAGMENTS)]
APPS = [block for block in MODULES if "\napp = " in block.text]
ENVIRON = {"SHOP_SECRET": "s1", "NEWS_SECRET": "s2"}
NO_STORE = "endpoint 'token' needs store to be written out"


def test_there_are_blocks_of_each_sort():
    assert len(TESTS) == len(STORES) == 1
    assert len(FRAGMENTS) >= 3
    assert len(APPS) >= 6
    assert len(MODULES) > len(APPS)


def _written(tmp_path, block: Block):
    path = tmp_path / "main.py"
    path.write_text(block.text, encoding="utf-8")
    return path


@pytest.mark.parametrize("block", [block for block in MODULES if block not in APPS], ids=str)
def test_a_program_of_the_pages_runs(play, tmp_path, block):
    play.load(_written(tmp_path, block))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("block", APPS, ids=str)
def test_an_app_of_the_pages_serves_a_token(play, tmp_path, block, backend):
    app = play.load(_written(tmp_path, block))["app"]
    paths = ["/token/shop", "/wx/token/shop"]

    async def read():
        async with served(app) as client:
            return [await client.get(path) for path in paths]

    good = [answer for answer in anyio.run(read, backend=backend) if answer.status_code == 200]
    assert len(good) == 1
    assert play.sandbox.accepts(good[0].text)
    assert play.sandbox.count("/cgi-bin/stable_token") == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("block", FRAGMENTS, ids=str)
def test_lines_of_the_pages_run_where_tokens_is_open(play, block, backend):
    play.run_fragment(block.text, str(block), backend)


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_the_test_file_of_the_pages_passes(tmp_path, block):
    _passes(tmp_path, block)


@pytest.mark.parametrize("block", STORES, ids=str)
def test_the_store_of_the_pages_keeps_the_contract_in_a_fresh_folder(tmp_path, block):
    assert _passes(tmp_path, block) >= 100


def _passes(tmp_path, block: Block) -> int:
    """Run a block as somebody else's test file, without any configuration; gives the number of its tests."""
    path = tmp_path / "test_shop.py"
    path.write_text(block.text, encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(path)]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.rpartition(" passed")[0].split()[-1])


def test_the_script_that_moves_between_stores_saves_the_fetch(play, tmp_path):
    [block] = [block for block in MODULES if "async def move(" in block.text]
    move = play.load(_written(tmp_path, block))["move"]
    account = Account("shop", appid=APPID, secret=SECRET, endpoint="token")
    old, new = (f"sqlite://{tmp_path}/{name}.db" for name in ("old", "new"))

    async def read(store):
        async with TokenManager([account], store=store) as tokens:
            return await tokens.access_token("shop")

    token = anyio.run(read, old)
    assert anyio.run(move, Config(accounts=(account,)), old, new) == 1
    assert anyio.run(read, new) == token
    assert play.sandbox.count("/cgi-bin/token") == 1


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_a_configuration_of_the_pages_loads(tmp_path, block):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "test").write_text("s3\n")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "shop-web").write_text(f"{Key.of(new_key()).line}\n")
    path = tmp_path / "wxtoken.toml"
    path.write_text(block.text, encoding="utf-8")
    config = load(str(path), environ=ENVIRON)
    if 'endpoint = "token"' in block.text and "store = " not in block.text:
        with pytest.raises(ConfigError, match=NO_STORE):
            config.manager()
    elif config.hooks is None:
        assert isinstance(config.middleware(), WxTokenMiddleware)


def test_the_hooks_of_the_node_page_are_found_and_told(play, tmp_path, monkeypatch):
    page = DOCS / "from-weixin-token.md"
    [hooks] = [block for block in MODULES if block.page == page]
    [toml] = [block for block in all_blocks("toml") if block.page == page]
    (tmp_path / "shop_hooks.py").write_text(hooks.text, encoding="utf-8")
    (tmp_path / "wxtoken.toml").write_text(toml.text.replace("wx0123456789abcdef", "wx00000000000000d1"))
    play.sandbox.add("wx00000000000000d1", "s1")
    play.sandbox.add("wx00000000000000a2", "s2")
    monkeypatch.syspath_prepend(tmp_path)
    app = load("wxtoken.toml", environ=ENVIRON).middleware()
    told = []
    monkeypatch.setattr(sys.modules["shop_hooks"], "save", lambda *event: told.append(event))

    async def read():
        async with served(app) as client:
            return (await client.get("/token/shop")).text, (await client.get("/ticket/news")).text

    token, ticket = anyio.run(read)
    assert play.sandbox.accepts(token)
    assert play.sandbox.accepts_ticket(ticket)
    assert {("shop", token), ("news", ticket)} <= {event[:2] for event in told}
