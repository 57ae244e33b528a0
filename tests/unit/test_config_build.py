"""The configuration: what is built of it."""

from __future__ import annotations

import sys

import pytest

from wxtoken_asgi import config as config_module
from wxtoken_asgi.clients import Client
from wxtoken_asgi.config import Config, import_object, load
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.records import Account

ALPHA = Account("alpha", "wx01", "not-to-be-shown")
DEV = Client("dev", networks=("10.1.0.0/16",))


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module of a source text; gives its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def module(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return module


@pytest.fixture
def built(monkeypatch):
    """What the manager and the middleware were given."""
    seen = {}

    def manager(accounts, **options):
        seen["manager"] = (accounts, options)
        return "the manager"

    def middleware(app, **options):
        seen["middleware"] = (app, options)
        return "the middleware"

    monkeypatch.setattr(config_module, "TokenManager", manager)
    monkeypatch.setattr(config_module, "WxTokenMiddleware", middleware)
    return seen


def test_the_real_parts_take_what_they_are_given():
    config = Config(accounts=(ALPHA,), prefix="/wx", store="memory:")
    tokens = config.manager()
    assert [account.name for account in tokens.accounts] == ["alpha"]
    assert config.middleware(tokens=tokens).tokens is tokens
    assert [account.name for account in config.middleware().tokens.accounts] == ["alpha"]


def test_the_manager_gets_its_settings(built):
    config = Config(
        accounts=(ALPHA,), store="redis://h", namespace="n", fetches=8, ask_every=60.0, probe_every=90.0
    )
    assert config.manager(transport="t", fetches=9) == "the manager"
    assert built["manager"] == (
        (ALPHA,),
        {
            "store": "redis://h",
            "namespace": "n",
            "fetches": 9,
            "ask_every": 60.0,
            "probe_every": 90.0,
            "transport": "t",
        },
    )


def test_the_manager_is_told_where_no_store_was_written_out(built):
    Config(accounts=(ALPHA,)).manager()
    assert "store" not in built["manager"][1]


def test_the_middleware_gets_its_settings(built):
    config = Config(
        prefix="/wx",
        trusted=("::1",),
        trusted_proxies=("10.0.0.1",),
        hosts=("h",),
        js_config_ticket=True,
        js_config_open=False,
        clients=(DEV,),
    )
    assert config.middleware("the app", hosts=("i",)) == "the middleware"
    assert built["middleware"] == (
        "the app",
        {
            "prefix": "/wx",
            "trusted": ("::1",),
            "trusted_proxies": ("10.0.0.1",),
            "hosts": ("i",),
            "js_config_ticket": True,
            "js_config_open": False,
            "clients": (DEV,),
            "tokens": "the manager",
        },
    )


def test_a_manager_that_is_there_is_not_built_again(built):
    Config().middleware(tokens="mine")
    assert "manager" not in built
    assert built["middleware"][1]["tokens"] == "mine"


@pytest.mark.parametrize(
    ("store", "shares"),
    [(None, False), ("memory:", False), ("sqlite:///a", True), ("redis://h", True)],
)
def test_whether_others_see_the_store(store, shares):
    assert Config(store=store).shares_store is shares


def test_hooks_are_found_in_an_object(built, module):
    module(
        "good_hooks",
        "class Hooks:\n  def on_token(self, event): ...\n  def on_error(self, event): ...\nhooks = Hooks()",
    )
    Config(hooks="good_hooks:hooks").manager()
    options = built["manager"][1]
    hooks = sys.modules["good_hooks"].hooks
    assert (options["on_token"], options["on_error"]) == (hooks.on_token, hooks.on_error)
    assert "on_ticket" not in options


@pytest.mark.parametrize(
    "text", ["hooks = object()", "class hooks: on_token = 1", "class hooks: on_tokens = print"]
)
def test_an_object_without_hooks_is_refused(module, text):
    module("bad_hooks", text)
    with pytest.raises(ConfigError, match=r"^hooks: bad_hooks:hooks needs a function on_token"):
        Config(hooks="bad_hooks:hooks").manager()


def test_an_object_is_imported_from_a_module(module):
    module("some_shop", "class inner: app = 'the app'")
    assert import_object("app", "some_shop:inner.app") == "the app"
    assert import_object("app", "os.path:join").__name__ == "join"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_shop:app", "app: there is no module 'no_shop'"),
        ("no_shop.main:app", "app: there is no module 'no_shop.main'"),
        ("os.path.no:app", "app: there is no module 'os.path.no'"),
        ("os:no", "app: module 'os' has no 'no'"),
        ("os:path.no", "app: module 'os' has no 'path.no'"),
    ],
)
def test_an_object_that_is_not_there_is_refused(target, message):
    with pytest.raises(ConfigError) as caught:
        import_object("app", target)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import no_dependency", ModuleNotFoundError),
        ("raise ModuleNotFoundError", ModuleNotFoundError),
        ("1 / 0", ZeroDivisionError),
    ],
)
def test_a_module_that_crashes_is_not_taken_for_a_missing_one(module, text, error):
    module("crashing_module", text)
    with pytest.raises(error):
        import_object("app", "crashing_module:app")


# the place of what only a manager or a middleware finds wrong

SECRET = "5f4dcc3b5aa765d61d8327deb882cf99"


@pytest.mark.parametrize(
    ("line", "more", "message"),
    [
        ('endpoint = "old"', "", "b.toml: account b: endpoint must be 'stable' or 'token', not 'old'"),
        ('tickets = ["no"]', "", "b.toml: account b: tickets: there is no ticket 'no'"),
        ('endpoint = "token"', "", "b.toml: account b: endpoint 'token' needs store"),
        ("", 'trusted = ["nonsense"]', "wx.toml: trusted: 'nonsense' is no address or network"),
        ("", 'hosts = ["a:80"]', "wx.toml: hosts: 'a:80' must be without port"),
        (f'endpoint = "{SECRET}"', "", "b.toml: account b: endpoint must be 'stable' or 'token', not '***'"),
        (f'tickets = ["{SECRET}"]', "", "b.toml: account b: tickets: there is no ticket '***'"),
        ("", f'store = "{SECRET}"', "wx.toml: store: '***' is no store"),
        ("", f'hosts = ["{SECRET} "]', "wx.toml: hosts: '***' is no host name"),
        ("", 'store = "foo://x"', "wx.toml: store: 'foo' is no store"),
    ],
)
def test_what_the_service_finds_wrong_is_named_with_its_place(tmp_path, monkeypatch, line, more, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wx.toml").write_text(f'include = ["b.toml"]\n{more}')
    (tmp_path / "b.toml").write_text(f'[accounts.b]\nappid = "wx02"\nsecret = "s"\n{line}')
    config = load("wx.toml", environ={})
    with pytest.raises(ConfigError) as caught:
        config.middleware()
    assert str(caught.value).startswith(message)


def test_the_variable_is_the_place_of_what_it_sets(tmp_path):
    (tmp_path / "wx.toml").write_text('[accounts.b]\nappid = "wx02"\nsecret = "s"\n')
    config = load(str(tmp_path / "wx.toml"), environ={"WXTOKEN_ACCOUNTS__B__ENDPOINT": "old"})
    with pytest.raises(ConfigError, match=r"^WXTOKEN_ACCOUNTS__B__ENDPOINT: account b: endpoint must be"):
        config.manager()


def test_what_is_given_past_the_configuration_has_no_place():
    with pytest.raises(ConfigError, match=r"^namespace must be"):
        Config(accounts=(Account("a", "wx01", "s"),)).manager(namespace="")
