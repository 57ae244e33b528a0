"""P5: the wrapped app gets the same scope, receive and send; for lifespan the same messages and its state."""

from __future__ import annotations

import pytest

from wxtoken_asgi import WxTokenMiddleware


class Recorder:
    """An app that keeps what it was called with."""

    def __init__(self):
        self.calls = []

    async def __call__(self, scope, receive, send):
        self.calls.append((scope, receive, send))


async def receive():
    return {"type": "http.request"}


async def send(message):
    pass


def request(kind="http", path="/", method="GET", **more):
    return {"type": kind, "path": path, "method": method, "query_string": b"", "headers": [], **more}


@pytest.mark.parametrize("prefix", ["", "/wx"])
@pytest.mark.parametrize(
    "scope",
    [
        request(),
        request(path="/token"),
        request(path="/token/unknown"),
        request(path="/tokens/alpha"),
        request(path="/wxtoken/alpha"),
        request(path="/token/refresh", method="POST"),
        request(path="/api/token/alpha", root_path="/api2"),
        request(kind="websocket", path="/token/alpha"),
        request(kind="websocket", path="/wx/token/alpha"),
        request(kind="something new", path="/wx/token/alpha"),
    ],
    ids=lambda scope: f"{scope['type']} {scope['method']} {scope['path']}",
)
async def test_the_same_objects_arrive(world, scope, prefix):
    app = Recorder()
    before = dict(scope)
    await WxTokenMiddleware(app, world.manager(), prefix=prefix)(scope, receive, send)
    assert len(app.calls) == 1
    assert all(mine is its for mine, its in zip(app.calls[0], (scope, receive, send), strict=True))
    assert scope == before


async def test_lifespan_messages_and_state_are_the_same(world):
    seen = []
    sent = []
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def app(scope, receive, send):
        for verdict in ("startup.complete", "shutdown.complete"):
            seen.append((await receive())["type"])
            if verdict.startswith("startup"):
                scope["state"]["mine"] = 1
                seen.append(await scope["state"]["wxtoken"].access_token("alpha") != "")
            await send({"type": f"lifespan.{verdict}"})

    async def next_message():
        return next(incoming)

    async def keep(message):
        sent.append(message["type"])

    state = {}
    await WxTokenMiddleware(app, world.manager())({"type": "lifespan", "state": state}, next_message, keep)
    assert seen == ["lifespan.startup", True, "lifespan.shutdown"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert state["mine"] == 1
