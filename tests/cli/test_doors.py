"""A port behind which js-config and `/health/live` are alone."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack

import httpx
import pytest

from wxtoken_asgi.command.doors import Doors, described, listen, listen_all, pages_port, port_of
from wxtoken_asgi.config import Config
from wxtoken_asgi.errors import ConfigError

from support.launcher import Launcher, wechat_server
from support.secrets import Vault
from support.servers import wait_until

NARROW, WIDE = 8001, 8000


class FakeService:
    """Notes which of its two apps got a scope."""

    def __init__(self):
        self.got = []

    async def __call__(self, scope, receive, send):
        self.got.append("all")

    async def pages(self, scope, receive, send):
        self.got.append("pages")


@pytest.mark.parametrize(
    ("scope", "got"),
    [
        ({"type": "http", "server": ("127.0.0.1", WIDE)}, "all"),
        ({"type": "http", "server": ("::1", NARROW)}, "pages"),
        ({"type": "http", "server": ("/run/wxtoken.sock", None)}, "all"),
        ({"type": "http", "server": None}, "pages"),
        ({"type": "http"}, "pages"),
        ({"type": "websocket", "server": ("127.0.0.1", WIDE)}, "all"),
        ({"type": "websocket", "server": ("127.0.0.1", NARROW)}, "pages"),
        ({"type": "lifespan"}, "all"),
    ],
)
async def test_the_door_says_what_is_behind_it(anyio_backend, scope, got):
    service = FakeService()
    await Doors(service, NARROW)(scope, None, None)
    assert service.got == [got]


# Sockets


@pytest.fixture
def opened():
    """Opens the sockets of a configuration; they are closed in the end."""
    with ExitStack() as stack:

        def opened(**settings):
            return [stack.enter_context(sock) for sock in listen_all(Config(port=0, **settings))]

        yield opened


def test_without_the_setting_there_is_one_socket(opened):
    socks = opened()
    assert len(socks) == 1
    assert pages_port(socks) is None
    assert described(socks, "/wx") == [f"listening on http://127.0.0.1:{port_of(socks[0])}/wx"]


@pytest.mark.parametrize(("named", "host"), [(None, "127.0.0.1"), ("127.0.0.2", "127.0.0.2")])
def test_the_second_socket_is_on_the_host_of_the_first_unless_one_is_named(opened, named, host):
    first, second = opened(js_config_port=0, js_config_host=named)
    assert pages_port([first, second]) == port_of(second) != port_of(first)
    assert [sock.getsockname()[0] for sock in (first, second)] == ["127.0.0.1", host]
    assert described([first, second], "/wx")[1:] == [
        f"js-config alone is answered on http://{host}:{port_of(second)}/wx"
    ]


def test_a_port_that_is_taken_is_refused_and_nothing_stays_open():
    with listen("127.0.0.1", 0) as free:
        first = port_of(free)
    with listen("127.0.0.1", 0) as taken:
        with pytest.raises(
            ConfigError, match=r"^js_config_host and js_config_port: cannot listen on 127\.0\.0\.1"
        ):
            listen_all(Config(port=first, js_config_port=port_of(taken)))
        socket.create_server(("127.0.0.1", first)).close()


def test_both_cannot_have_one_port():
    with listen("127.0.0.1", 0) as free:
        port = port_of(free)
    with pytest.raises(ConfigError, match=f"^js_config_port: {port} is the port of everything else$"):
        listen_all(Config(port=port, js_config_port=port, js_config_host="127.0.0.2"))


# A service with two doors


@pytest.mark.parametrize("workers", [1, 2])
def test_behind_the_narrow_door_of_a_service_are_js_config_and_health_alone(tmp_path, workers):
    vault = Vault()
    with wechat_server(vault) as wechat, Launcher(tmp_path, vault) as launcher:
        service = launcher.serve(
            {"shop": wechat.add("shop")}, "--workers", str(workers),
            store=f"sqlite://{tmp_path}/tokens.db", js_config_port=0,
        )  # fmt: skip
        wait_until(lambda: "js-config alone is answered on" in service.err, "the second door")
        narrow = re.search(r"js-config alone is answered on (\S+)", service.err)[1]
        with httpx.Client(trust_env=False, timeout=20) as client:

            def status(base, path):
                return {client.get(f"{base}{path}").status_code for _ in range(4)}

            signed = "/js-config/shop?url=https%3A%2F%2Fa.com%2F"
            assert status(narrow, signed) == status(service.url, signed) == {200}
            assert status(narrow, "/health/live") == {200}
            assert status(service.url, "/token/shop") == {200}
            for path in ("/token/shop", "/ticket/shop", "/health/ready", "/", "/js-configs"):
                assert status(narrow, path) == {404}, path
            assert client.put(f"{narrow}/token/shop").status_code == 404
        assert service.end() == 0  # killed, it would leave its workers behind
    assert not vault.leaks()
