"""A configuration that goes with its files."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

import anyio
import httpx
import pytest

from wxtoken_asgi import ConfigError, UnknownAccount, UpstreamRefused
from wxtoken_asgi.command.newkey import rotate
from wxtoken_asgi.config import Config, load
from wxtoken_asgi.config import live as live_module
from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.live import LIVE, LiveConfig, follow
from wxtoken_asgi.keys import Key, new_key
from wxtoken_asgi.sandbox import Sandbox

from support.center import client

APPID, OTHER = "wx00000000000000a1", "wx00000000000000b2"
SECRET, NEW = "secret-of-the-live-configuration", "the-new-secret-not-to-be-shown"
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live_module, "SETTLE_S", 0.05)
    for name in [name for name in os.environ if name.startswith("WXTOKEN_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def place(tmp_path):
    """A configuration with a secret in a file of its own."""
    (tmp_path / "alpha.secret").write_text(f"{SECRET}\n")
    write(tmp_path, "")
    return tmp_path


def write(place, more, top="watch_every = 0.1"):
    (place / "wx.toml").write_text(
        f'{top}\ninclude = ["accounts.d/*.toml"]\n'
        f'[accounts.alpha]\nappid = "{APPID}"\nsecret_file = "alpha.secret"\n{more}\n'
    )


def path(place):
    return str(place / "wx.toml")


async def until(done):
    with anyio.fail_after(PATIENCE_S):
        while not done():  # noqa: ASYNC110 - nothing tells of it
            await anyio.sleep(0.02)


# the files


def read(place):
    files = Files()
    config = load(path(place), environ={}, files=files)
    return files, config


def test_files_that_stay_as_they_are_have_not_changed(place):
    files, _ = read(place)
    assert files.now() == files.then
    write(place, "")
    os.utime(place / "wx.toml", (1, 1))
    assert files.now() == files.then


def rewrite(place):
    (place / "alpha.secret").write_text(NEW)


def same_length_same_time(place):
    before = (place / "alpha.secret").stat()
    (place / "alpha.secret").write_text(SECRET.upper() + "\n")
    os.utime(place / "alpha.secret", ns=(before.st_atime_ns, before.st_mtime_ns))


def new_include(place):
    (place / "accounts.d").mkdir()
    (place / "accounts.d" / "b.toml").write_text("")


def gone(place):
    (place / "alpha.secret").unlink()


def swap(place):
    (place / "wx.new").write_text("[accounts]")
    (place / "wx.new").rename(place / "wx.toml")


@pytest.mark.parametrize("change", [rewrite, same_length_same_time, new_include, gone, swap])
def test_a_change_of_any_file_is_noticed(place, change):
    files, _ = read(place)
    change(place)
    assert files.now() != files.then


def test_a_file_that_was_missing_and_comes_is_noticed(place):
    gone(place)
    files = Files()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path(place), environ={}, files=files)
    assert files.now() == files.then
    rewrite(place)
    assert files.now() != files.then


def test_a_file_that_stood_wrong_is_noticed_when_it_is_mended(place):
    write(place, "x = ")
    files = Files()
    with pytest.raises(ConfigError, match="no TOML"):
        load(path(place), environ={}, files=files)
    assert files.now() == files.then
    write(place, "")
    assert files.now() != files.then


def test_no_secret_is_kept_of_a_file(place):
    files, _ = read(place)
    assert SECRET not in repr((vars(files), files.then, files.now()))


# looking


def test_a_change_counts_once_nobody_writes_to_the_files_any_more(place):
    live = follow(path(place), environ={})
    assert [live.look(), live.unsettled] == [False, False]
    (place / "alpha.secret").write_text(NEW[:5])
    assert [live.look(), live.unsettled] == [False, True]
    (place / "alpha.secret").write_text(NEW)
    assert [live.look(), live.unsettled] == [False, True]
    assert [live.look(), live.unsettled] == [True, False]
    assert live.read().accounts[0].secret == NEW
    assert not live.look()


def test_a_change_that_is_taken_back_at_once_is_none(place):
    live = follow(path(place), environ={})
    rewrite(place)
    assert not live.look()
    (place / "alpha.secret").write_text(f"{SECRET}\n")
    assert [live.look(), live.unsettled] == [False, False]


@pytest.mark.parametrize(
    ("top", "polls", "pause"), [("", True, 5.0), ("watch_every = 0", True, float("inf")), ("", False, None)]
)
def test_how_often_it_looks(place, top, polls, pause):
    write(place, "", top)
    live = LiveConfig(lambda files: load(path(place), environ={}, files=files), polls=polls)
    assert live.pause_s == (pause or float("inf"))
    live.unsettled = True
    assert live.pause_s == live_module.SETTLE_S


# reading again


def test_what_needs_a_restart_is_named_and_stays_and_the_rest_changes(place, caplog):
    live = follow(path(place), environ={}, overrides={"workers": 3})
    top = (
        'prefix = "/wx"\nstore = "redis://:not-to-be-shown@h"\nport = 1\ntrusted = ["10.0.0.1"]\nworkers = 4'
    )
    write(place, "daily_quota = 100", top)
    config = live.read()
    assert (config.prefix, config.store, config.port, config.workers) == ("", None, 8000, 3)
    assert (config.trusted, config.accounts[0].daily_quota) == (("10.0.0.1",), 100)
    assert live.config.trusted != config.trusted
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "the configuration: prefix, store, port will change at the next restart"


@pytest.mark.parametrize("polls", [True, False])
def test_of_several_workers_the_parent_alone_looks_ahead_and_tells_of_it(place, caplog, polls):
    tried = []
    live = LiveConfig(
        lambda files: load(path(place), environ={}, files=files), ahead=tried.append, polls=polls
    )
    live.read()
    assert tried == []
    write(place, "", "port = 1")
    live.read()
    assert [config.port for config in tried] == [1] * polls
    assert caplog.messages == ["the configuration: port will change at the next restart"] * polls


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('hooks = "nope:x"', "hooks: there is no module 'nope'"),
        ('hooks = "ahead_broken:x"', "hooks: ahead_broken:x cannot be imported: ZeroDivisionError"),
        ('store = "foo://bar"', "store: 'foo' is no store"),
    ],
)
def test_a_program_s_next_start_is_looked_ahead_to(place, monkeypatch, line, message):
    monkeypatch.syspath_prepend(place)
    (place / "ahead_broken.py").write_text("1 / 0")
    live = follow(path(place), environ={})
    write(place, "", line)
    with pytest.raises(ConfigError, match=message) as caught:
        live.read()
    assert str(caught.value).startswith("hooks" if "hooks" in line else str(place / "wx.toml"))


def test_all_that_takes_effect_at_once_is_a_setting():
    assert set(Config.__slots__) >= LIVE


def test_a_check_refuses_what_would_not_work_with_what_stays(place):
    def check(config):
        if config.trusted == ("10.0.0.1",):
            raise ConfigError(f"not with {config.workers} workers")

    live = LiveConfig(lambda files: load(path(place), environ={}, files=files), check=check)
    write(place, "", 'trusted = ["10.0.0.1"]\nworkers = 9')
    with pytest.raises(ConfigError, match="not with 1 workers"):
        live.read()


@pytest.mark.parametrize("polls", [True, False])
def test_an_emptied_file_of_keys_revokes_the_last_one_and_is_told_of_once(place, caplog, polls):
    (place / "dev.keys").write_text(f"{Key.of(new_key()).line}\n")
    write(place, '[clients.dev]\nkeys_file = "dev.keys"')
    live = LiveConfig(lambda files: load(path(place), environ={}, files=files), polls=polls)
    (place / "dev.keys").write_text("# none any more\n")
    for _ in range(2):
        live.config = live.read()
    assert live.config.clients[0].keys == ()
    told = [line for line in caplog.messages if "'dev.keys' holds no key: nobody is this client" in line]
    assert caplog.messages == told
    assert len(told) == polls, "of several workers the parent tells of it"


def test_a_file_of_keys_that_is_empty_at_the_start_is_told_of(place, caplog):
    (place / "dev.keys").write_text("")
    write(place, '[clients.dev]\nkeys_file = "dev.keys"')
    assert follow(path(place), environ={}).config.clients[0].keys == ()
    [line] = caplog.messages
    assert line.endswith("client dev: keys_file: 'dev.keys' holds no key: nobody is this client")


def test_files_that_are_wrong_at_the_start_are_an_error_unless_there_is_a_last_configuration(place, caplog):
    last = follow(path(place), environ={}).config
    write(place, "x = ")
    reads = []

    def read(files):
        reads.append(files)
        return load(path(place), environ={}, files=files)

    with pytest.raises(ConfigError, match="no TOML"):
        LiveConfig(read)
    live = LiveConfig(read, last=last)
    assert live.config is last
    assert "no TOML" in caplog.text
    assert not live.look()
    write(place, "")
    assert [live.look(), live.look()] == [False, True]


async def test_without_anything_built_of_it_a_reload_is_a_reading(place):
    live = follow(path(place), environ={})
    rewrite(place)
    await live.reload()
    assert live.config.accounts[0].secret == NEW


def test_one_reload_after_the_other_in_each_event_loop(place):
    live = follow(path(place), environ={})

    async def twice():
        async with anyio.create_task_group() as group:
            group.start_soon(live.reload)
            group.start_soon(live.reload)

    anyio.run(twice)
    anyio.run(twice, backend="trio")


# in a running service


@pytest.fixture
def sandbox():
    sandbox = Sandbox()
    sandbox.add(APPID, SECRET)
    sandbox.add(OTHER, SECRET)
    return sandbox


def build(place, sandbox, **more):
    live = follow(path(place), environ={})
    tokens = live.config.manager(transport=httpx.ASGITransport(sandbox))
    return live, live.middleware(tokens=tokens, **more)


async def test_a_new_secret_in_its_file_is_in_force_soon(place, sandbox):
    live, service = build(place, sandbox)
    async with service.tokens as tokens:
        held = await tokens.access_token("alpha")
        sandbox.reset_secret(APPID, NEW)
        rewrite(place)
        await until(lambda: live.config.accounts[0].secret == NEW)
        assert await tokens.access_token("alpha") == held
        assert await tokens.refresh("alpha") != held


async def test_accounts_and_rules_come_and_go_with_the_files(place, sandbox):
    live, service = build(place, sandbox)
    async with service.tokens, client(service) as http:
        assert (await http.get("/token/beta")).status_code == 404
        new_include(place)
        (place / "accounts.d" / "b.toml").write_text(
            f'[accounts.beta]\nappid = "{OTHER}"\nsecret = "{SECRET}"'
        )
        await until(lambda: len(live.config.accounts) == 2)
        assert sandbox.accepts((await http.get("/token/beta")).text)
        write(place, "", 'trusted = ["10.0.0.1"]\nwatch_every = 0.1')
        await until(lambda: live.config.trusted == ("10.0.0.1",))
        assert (await http.get("/token/beta")).status_code == 403


async def test_a_key_is_changed_and_nobody_is_refused_meanwhile(place, sandbox):
    old, new = new_key(), new_key()
    (place / "dev.keys").write_text(f"# of dev\n{Key.of(old).line}\n")
    write(place, '[clients.dev]\nkeys_file = "dev.keys"', "trusted = []\nwatch_every = 0.1")
    live, service = build(place, sandbox)
    async with service.tokens, client(service) as http:

        async def status(key):
            headers = {"authorization": f"Bearer {key}"}
            return (await http.get("/token/alpha", headers=headers)).status_code

        assert [await status(old), await status(new)] == [200, 401]
        rotate(place / "dev.keys", Key.of(new), time.time(), 3600)
        await until(lambda: len(live.config.clients[0].keys) == 2)
        assert [await status(old), await status(new)] == [200, 200]
        (place / "dev.keys").write_text(Key.of(new).line)
        await until(lambda: len(live.config.clients[0].keys) == 1)
        assert [await status(old), await status(new)] == [401, 200]


async def test_js_config_is_closed_and_opened_with_the_files(place, sandbox):
    page = "/js-config/alpha?url=https%3A%2F%2Fa.com%2F"
    write(place, "", "trusted = []\nwatch_every = 0.1\njs_config_open = false")
    live, service = build(place, sandbox)
    async with service.tokens, client(service) as http:
        assert (await http.get(page)).status_code == 403
        write(place, "", "trusted = []\nwatch_every = 0.1")
        await until(lambda: live.config.js_config_open)
        assert (await http.get(page)).status_code == 200


async def test_what_is_wrong_is_said_once_and_the_configuration_before_stays(place, sandbox, caplog):
    caplog.set_level(logging.INFO, "wxtoken_asgi")
    live, service = build(place, sandbox)
    looks = []

    async with service.tokens as tokens:
        held = await tokens.access_token("alpha")
        write(place, "endpoint = ", "watch_every = 0.1")
        await until(lambda: "stays in force" in caplog.text)
        original = live.look
        live.look = lambda: looks.append(1) or original()
        await until(lambda: len(looks) >= 4)
        assert await tokens.access_token("alpha") == held
        write(place, "endpoint = 'wecom'")
        await until(lambda: caplog.text.count("stays in force") == 2)
        write(place, "daily_quota = 9")
        await until(lambda: live.config.accounts[0].daily_quota == 9)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2
    assert said[0].startswith(f"{place / 'wx.toml'}: no TOML: ")
    assert said[1].startswith(
        f"{place / 'wx.toml'}: account alpha: endpoint must be 'stable' or 'token', not 'wecom'"
    )
    assert not any(secret in caplog.text for secret in (SECRET, NEW))
    assert "the configuration was reloaded: 1 accounts" in caplog.text


async def test_a_refused_secret_is_looked_for_in_its_file_at_once(place, sandbox):
    write(place, "", "watch_every = 3600")
    live, service = build(place, sandbox)
    async with service.tokens as tokens:
        await tokens.access_token("alpha")
        await anyio.sleep(0.1)
        sandbox.reset_secret(APPID, NEW)
        rewrite(place)
        with pytest.raises(UpstreamRefused):
            await tokens.refresh("alpha")
        live._look_soon()  # those that come meanwhile are one
        await until(lambda: live.config.accounts[0].secret == NEW)
        assert sandbox.accepts(await tokens.refresh("alpha"))


@pytest.mark.parametrize("polls", [True, False])
async def test_with_watch_every_0_a_refused_secret_is_no_reason_to_look(place, sandbox, polls):
    """Of several workers one alone would have what the others have not."""
    write(place, "", "watch_every = 0")
    live = LiveConfig(lambda files: load(path(place), environ={}, files=files), polls=polls)
    tokens = live.manager(transport=httpx.ASGITransport(sandbox))
    looks = []
    live.look = lambda: looks.append(1)
    async with tokens:
        await tokens.access_token("alpha")
        await anyio.sleep(0.1)
        sandbox.reset_secret(APPID, NEW)
        rewrite(place)
        with pytest.raises(UpstreamRefused):
            await tokens.refresh("alpha")
        await anyio.sleep(0.3)
        assert live.config.accounts[0].secret == SECRET
        await live.reload()
        await anyio.sleep(0.1)
        assert looks == []
        assert sandbox.accepts(await tokens.refresh("alpha"))


async def test_looking_begins_and_ends_with_a_reload_that_says_so(place, sandbox):
    write(place, "", "watch_every = 0")
    live, service = build(place, sandbox)
    looks = []
    original = live.look
    live.look = lambda: looks.append(1) or original()
    async with service.tokens:
        write(place, "", "watch_every = 0.1")
        await live.reload()
        await until(lambda: len(looks) >= 3)
        write(place, "", "watch_every = 0")
        await until(lambda: not live.config.watch_every)
        await anyio.sleep(0.1)
        before = len(looks)
        await anyio.sleep(0.3)
        assert len(looks) == before


async def test_the_program_of_the_page_follows_its_file(place, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    [program] = [
        block
        for block in re.findall("```python\n(.+?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        if "def build" in block
    ]
    monkeypatch.chdir(place)
    (place / "wx.toml").rename(place / "wxtoken.toml")
    names = {}
    exec(program, names)  # noqa: S102, RUF100 - the page's own lines
    service = names["build"](None)
    async with service.tokens as tokens:
        text = (place / "wxtoken.toml").read_text()
        (place / "wxtoken.toml").write_text(text.replace("alpha]", "renamed]"))
        await until(lambda: tokens.accounts.get("renamed"))


async def test_a_manager_alone_follows_the_files_too(place, sandbox):
    live = follow(path(place), environ={})
    async with live.manager(transport=httpx.ASGITransport(sandbox)) as tokens:
        await tokens.access_token("alpha")
        write(place, f'[accounts.beta]\nappid = "{OTHER}"\nsecret = "{SECRET}"')
        await until(lambda: len(tokens.accounts) == 2)
        assert sandbox.accepts(await tokens.access_token("beta"))
        write(place, "")
        await live.reload()
        with pytest.raises(UnknownAccount):
            await tokens.access_token("beta")
