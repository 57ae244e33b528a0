"""An app and hooks for `wxtoken serve` that do what they can to bring a secret into a log.

Every logger there is writes at level DEBUG, to stderr and to a file; every hook fails with all that it has.
"""

from __future__ import annotations

import logging
import sys

from wxtoken_asgi import manager

# Nobody waits for a second attempt.
manager.READ_WAIT_S = manager.SHUTDOWN_FETCH_S = 1.0


def be_loud():
    handlers = [logging.StreamHandler(sys.stderr), logging.FileHandler("all.log")]
    logging.basicConfig(level=logging.DEBUG, handlers=handlers, force=True)
    for name in (*logging.root.manager.loggerDict, "httpx", "httpcore", "uvicorn", "asyncio", "anyio"):
        logging.getLogger(name).setLevel(logging.DEBUG)


class Hooks:
    """`hooks = "loud:Hooks"`."""

    @staticmethod
    def on_token(event):
        raise RuntimeError(f"cannot save {event!r}")

    @staticmethod
    async def on_ticket(event):
        raise RuntimeError(f"cannot save {event!r}")

    @staticmethod
    def on_error(event):
        raise RuntimeError(f"cannot tell of {event!r}")


async def app(scope, receive, send):
    """It is there to hear when the server has set up its own logging."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})
        return
    await receive()
    be_loud()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
