"""A WeChat on a real socket, and programs that are configured to ask it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import anyio
import uvicorn

from wxtoken_asgi.sandbox import Call, Sandbox

from support.secrets import Vault
from support.servers import Program, Service, wait_until

TOKEN: Final = "/cgi-bin/token"
STABLE: Final = "/cgi-bin/stable_token"
TICKET: Final = "/cgi-bin/ticket/getticket"
PROBE: Final = "/cgi-bin/get_api_domain_ip"

Tables = Mapping[str, Mapping[str, Any]]


class SandboxServer:
    """A sandbox under uvicorn, in a thread of this process. It learns what it hands out by heart.

    Args:
        vault: remembers every token and ticket.
        **options: of the `Sandbox`.

    Attributes:
        sandbox: the sandbox.
        accounts: tables for a configuration file, by name.
        port: where it listens; the same after a second start.
        arrived: how many calls have come to a closed gate.
    """

    def __init__(self, vault: Vault, **options: Any) -> None:
        self.sandbox = Sandbox(**options)
        self.accounts: dict[str, dict[str, Any]] = {}
        self.port = 0
        self.arrived = 0
        self._vault = vault
        self._gate: tuple[str, ...] = ()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address, an account's `api_base`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the port of the last time if there was one."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=2048)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self, lifespan="off", log_config=None, timeout_graceful_shutdown=0)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, args=(self._server, listener))
        self._thread.start()
        wait_until(lambda: self._server and self._server.started, "the sandbox's start")

    @staticmethod
    def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
        with listener:
            server.run(sockets=[listener])

    def stop(self) -> None:
        """Go away: connections are closed, and nobody listens."""
        self.open_gate()
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the sandbox does not end"
        self._server = self._thread = None

    def close_gate(self, *paths: str) -> None:
        """Let calls of these paths wait, before WeChat has heard of them, until the gate is opened."""
        self.arrived = 0
        self._gate = paths

    def open_gate(self) -> None:
        """Let them go on."""
        self._gate = ()

    def add(self, name: str, endpoint: str = "stable", **options: Any) -> dict[str, Any]:
        """Add an account with a new secret; gives its table for a configuration file.

        Args:
            name: its name, new to this sandbox.
            endpoint: `stable` or `token`.
            **options: of the sandbox's account.
        """
        appid, secret = f"wx{len(self.accounts) + 0xA1:016x}", self._vault.new(f"the secret of {name}")
        self.sandbox.add(appid, secret, **options)
        self.accounts[name] = {"appid": appid, "secret": secret, "endpoint": endpoint, "api_base": self.url}
        return self.accounts[name]

    def count(self, *paths: str, app: str | None = None) -> int:
        """How many calls came in of these paths: all, or those of one account."""
        appid = self.accounts[app]["appid"] if app else None
        return sum(self.sandbox.count(path, appid) for path in paths)

    def fetches(self, app: str | None = None) -> int:
        """How many calls of the two token endpoints came in."""
        return self.count(TOKEN, STABLE, app=app)

    def calls(self, app: str) -> list[Call]:
        """All calls about an account."""
        return [call for call in self.sandbox.calls if call.appid == self.accounts[app]["appid"]]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in self._gate:
            self.arrived += 1
            while scope["path"] in self._gate:  # noqa: ASYNC110 - another thread opens it
                await anyio.sleep(0.01)

        async def learning(message: Any) -> None:
            self._vault.learn(message.get("body", b""))
            await send(message)

        await self.sandbox(scope, receive, learning)


@contextmanager
def wechat_server(vault: Vault, **options: Any) -> Iterator[SandboxServer]:
    """Run a sandbox; see `SandboxServer`."""
    server = SandboxServer(vault, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Launcher:
    """Starts programs, each in a folder of its own, and ends them all at its end.

    Args:
        folder: where they run, and where configuration files stand.
        vault: searches what they leave behind, the configuration files excepted.
    """

    def __init__(self, folder: Path, vault: Vault) -> None:
        self.folder = folder
        self._vault = vault
        self._stack = ExitStack()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _next(self, name: str) -> Path:
        self._number += 1
        return self.folder / f"{name}-{self._number}"

    def program(self, *argv: str, name: str = "program", **environ: str) -> Program:
        """Start a Python program."""
        program = Program(*argv, folder=self._next(name), vault=self._vault, **environ)
        self._stack.callback(program.kill)
        return program

    def service(self, *argv: str, marker: str, name: str = "service", **environ: str) -> Service:
        """Start a Python program that serves.

        Args:
            *argv: its arguments.
            marker: the line of its output that holds this says where.
            name: of its folder.
            **environ: further variables.
        """
        service = Service(*argv, folder=self._next(name), vault=self._vault, **environ)
        self._stack.callback(service.close)
        service.listens(marker)
        return service

    def config(self, accounts: Tables, **settings: Any) -> str:
        """Write a configuration file."""
        path = self._next("wx").with_suffix(".toml")
        path.write_text(toml({"store": "memory:"} | settings, accounts))
        return str(path)

    def serve(self, accounts: Tables, *argv: str, **settings: Any) -> Service:
        """Start `wxtoken serve`.

        Args:
            accounts: their tables.
            *argv: further arguments.
            **settings: for the top of the configuration file.
        """
        port = str(settings.pop("port", 0))
        environ = settings.pop("environ", {})
        config = self.config(accounts, **settings)
        command = ("-m", "wxtoken_asgi.command.cli", "serve", "--config", config, "--port", port, *argv)
        return self.service(*command, marker="listening on", name="serve", **environ)


def toml(settings: Mapping[str, Any], accounts: Mapping[str, Mapping[str, Any]]) -> str:
    """A configuration file. JSON's strings, numbers and lists are TOML's."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    for account, table in accounts.items():
        lines += [
            f"[accounts.{account}]",
            *(f"{name} = {json.dumps(value)}" for name, value in table.items()),
        ]
    return "\n".join(lines) + "\n"
