"""Runs programs of the pages in this process, unchanged, with a sandbox where WeChat would be."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import httpx

import wxtoken_asgi
from wxtoken_asgi import Account, TokenManager
from wxtoken_asgi.sandbox import Sandbox
from wxtoken_asgi.weixin import Weixin

APPID: Final = "wx00000000000000d0"
SECRET: Final = "secret-of-the-documentation"
_NUMBERS: Final[Iterator[int]] = itertools.count()


class Play:
    """A sandbox in the place of the network.

    Args:
        monkeypatch: pytest's.
    """

    def __init__(self, monkeypatch: Any) -> None:
        self.sandbox = Sandbox()
        self.sandbox.add(APPID, SECRET)
        transport = self.sandbox.transport()
        original = Weixin.__init__

        def init(weixin: Weixin, given: httpx.AsyncBaseTransport | None = None) -> None:
            original(weixin, given or transport)

        monkeypatch.setattr(Weixin, "__init__", init)
        monkeypatch.setenv("WX_APPID", APPID)
        monkeypatch.setenv("WX_SECRET", SECRET)
        self._modules = monkeypatch

    def load(self, path: Path, **names: Any) -> dict[str, Any]:
        """Run a file as a module, with `names` in it beforehand."""
        name = f"docs_program_{next(_NUMBERS)}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        vars(module).update(names)
        self._modules.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return vars(module)

    def run_fragment(self, text: str, where: str, backend: str) -> None:
        """Run lines that await at their top, as if they stood where `tokens` is open."""
        code = compile(text, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        anyio.run(self._fragment, code, backend=backend)

    async def _fragment(self, code: Any) -> None:
        account = Account("shop", appid=APPID, secret=SECRET)
        async with TokenManager([account]) as tokens:
            names = {word: getattr(wxtoken_asgi, word) for word in wxtoken_asgi.__all__}
            await eval(code, names | {"tokens": tokens})  # noqa: S307, RUF100 - the page's own lines


def awaits_at_its_top(text: str) -> bool:
    """Whether the lines are no module, for they await outside a function."""
    try:
        compile(text, "block", "exec")
    except SyntaxError:
        compile(text, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return True
    return False


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """An app between its start and its shutdown, as a server would run it; a client on this machine."""
    to_app, from_server = anyio.create_memory_object_stream[dict[str, Any]](2)
    to_server, from_app = anyio.create_memory_object_stream[dict[str, Any]](2)
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with anyio.create_task_group() as group:
        group.start_soon(app, scope, from_server.receive, to_server.send)
        await to_app.send({"type": "lifespan.startup"})
        started = await from_app.receive()
        assert started == {"type": "lifespan.startup.complete"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            yield client
        await to_app.send({"type": "lifespan.shutdown"})
        stopped = await from_app.receive()
        assert stopped == {"type": "lifespan.shutdown.complete"}
    for stream in (to_app, from_server, to_server, from_app):
        stream.close()


async def answers(app: Any, *paths: str) -> list[httpx.Response]:
    """What a served app answers to GETs."""
    async with served(app) as client:
        return [await client.get(path) for path in paths]
