"""What `wxtoken serve` hands down to its workers."""

from __future__ import annotations

import os

import pytest

from wxtoken_asgi.command.order import Order, warnings
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.surroundings import HANDED_DOWN

SANDBOX = "http://127.0.0.1:8001"
STORES = ("WXTOKEN_STORE", "WXTOKEN_STORE_ENV", "WXTOKEN_STORE_FILE")


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("WXTOKEN_", HANDED_DOWN))]:
        monkeypatch.delenv(name)


def write(tmp_path, **more):
    lines = [f"{key} = {value}" for key, value in more.items()]
    lines += [
        "[accounts.gamma]",
        'appid = "wx01"',
        'secret = "s"',
        'endpoint = "token"',
        'proxy = "http://p:1"',
    ]
    (tmp_path / "wx.toml").write_text("\n".join(lines))
    return "wx.toml"


def test_a_worker_finds_the_order_that_its_parent_handed_down():
    order = Order("wx.toml", {"port": 0, "prefix": "/wx"}, SANDBOX)
    with order.hand_down(None):
        assert Order.handed_down() == order
    assert HANDED_DOWN not in os.environ
    assert Order.handed_down() == Order()


def test_a_store_given_as_a_flag_goes_before_any_form_of_it_in_the_environment(monkeypatch, tmp_path):
    path = write(tmp_path, store='"redis://file"')
    monkeypatch.setenv("WXTOKEN_STORE_FILE", "nowhere")
    order = Order(path)
    with order.hand_down("redis://:password@host"):
        assert order.config().store == "redis://:password@host"
        assert "password" not in os.environ[HANDED_DOWN]
    assert {name: os.environ.get(name) for name in STORES} == {
        "WXTOKEN_STORE": None,
        "WXTOKEN_STORE_ENV": None,
        "WXTOKEN_STORE_FILE": "nowhere",
    }


def test_without_a_flag_the_configured_store_stays(tmp_path):
    order = Order(write(tmp_path, store='"redis://file"'))
    with order.hand_down(None):
        assert order.config().store == "redis://file"


def test_no_account_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"^accounts: there is none; write \[accounts\.NAME\]"):
        Order().config()


def test_a_sandbox_makes_two_accounts_where_none_is_configured():
    alpha, beta = Order(sandbox=SANDBOX).config().accounts
    assert (alpha.name, alpha.endpoint, alpha.tickets, alpha.api_base) == (
        "alpha",
        "stable",
        ("jsapi",),
        SANDBOX,
    )
    assert (beta.name, beta.endpoint, beta.tickets, beta.api_base) == ("beta", "token", ("jsapi",), SANDBOX)


@pytest.mark.parametrize(("store", "endpoint"), [("memory:", "stable"), ("sqlite:///tmp/x", "token")])
def test_several_workers_use_the_old_endpoint_of_a_sandbox_only_with_a_shared_store(store, endpoint):
    order = Order(flags={"workers": 2}, sandbox=SANDBOX)
    with order.hand_down(store):
        assert order.config().accounts[1].endpoint == endpoint


def test_a_sandbox_takes_wechat_s_place_for_configured_accounts(tmp_path):
    (gamma,) = Order(write(tmp_path), sandbox=SANDBOX).config().accounts
    assert (gamma.name, gamma.api_base, gamma.proxy, gamma.endpoint) == ("gamma", SANDBOX, None, "token")


def test_workers_that_would_doom_one_another_s_tokens_are_refused(tmp_path):
    path = write(tmp_path, store='"memory:"')
    assert Order(path).config().workers == 1
    with pytest.raises(ConfigError, match=r"^account gamma: endpoint 'token' with 2 workers needs a store"):
        Order(path, {"workers": 2}).config()


def test_where_no_store_is_written_out_a_file_of_the_user_s_state_is_shared_by_all_workers(tmp_path, state):
    config = Order(write(tmp_path), {"workers": 2}).config()
    assert config.store == f"sqlite://{state}/wxtoken/tokens.db"
    assert config.shares_store
    assert (state / "wxtoken").is_dir()


def test_a_unit_s_state_goes_before_the_user_s(tmp_path, monkeypatch, state):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "unit"))
    assert Order(write(tmp_path)).config().store == f"sqlite://{tmp_path}/unit/tokens.db"
    assert not state.exists()


@pytest.mark.parametrize(("store", "lines"), [("memory:", 1), ("sqlite:///f", 1), ("redis://h", 0)])
def test_in_a_pod_a_store_that_replicas_do_not_share_is_named(tmp_path, monkeypatch, store, lines):
    config = Order(write(tmp_path, store=f'"{store}"')).config()
    assert warnings(config) == []
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    found = warnings(Order(write(tmp_path, store=f'"{store}"')).config())
    assert len(found) == lines
    assert all(line.startswith("store: this is Kubernetes") for line in found)


def test_a_client_that_nobody_is_any_more_is_named(tmp_path):
    (tmp_path / "dev.keys").write_text("")
    path = write(tmp_path, store='"memory:"')
    with (tmp_path / path).open("a") as file:
        file.write('\n[clients.dev]\nkeys_file = "dev.keys"\n')
    assert warnings(Order(path).config()) == [
        "wx.toml: client dev: keys_file: 'dev.keys' holds no key: nobody is this client"
    ]


def test_workers_with_stable_accounts_need_no_shared_store(tmp_path):
    path = write(tmp_path, store='"memory:"')
    (tmp_path / path).write_text((tmp_path / path).read_text().replace('"token"', '"stable"'))
    config = Order(path, {"workers": 2}).config()
    assert config.workers == 2
    assert warnings(config) == [
        "store 'memory:' is each worker's own: the others do not see what one refreshes"
    ]
