"""A program that uses the manager, prints the repr of all that it gets hold of, and crashes in the end."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import sys
from contextlib import suppress

import anyio

from wxtoken_asgi import WxTokenError, manager
from wxtoken_asgi.config import load

logging.basicConfig(level=logging.DEBUG)
# Nobody waits for a second attempt.
manager.READ_WAIT_S = manager.SHUTDOWN_FETCH_S = 1.0


class Heard:
    """All events."""

    def __init__(self):
        self.events = []


def show(thing):
    print(repr(thing), str(thing), flush=True)


async def meet(ask, account):
    """Ask; a failure is shown in every way."""
    try:
        await ask(account.name)
    except WxTokenError as error:
        show(error)
        show(vars(error))
        logging.getLogger("crash").exception("asked in vain")


async def main():
    config = load(os.environ["CONFIG"])
    heard = Heard()
    hook = heard.events.append
    tokens = config.manager(on_token=hook, on_ticket=hook, on_error=hook)
    with suppress(WxTokenError):
        await tokens.access_token("good")  # without a loop
    async with tokens:
        async with anyio.create_task_group() as group:
            for account in config.accounts:
                group.start_soon(meet, tokens.access_token, account)
                group.start_soon(meet, tokens.jsapi_ticket, account)
        with anyio.move_on_after(0.5):
            async with anyio.create_task_group() as group:
                for account in config.accounts:
                    group.start_soon(meet, tokens.refresh, account)
        show(tokens.statistics())
        await anyio.sleep(0.1)
        for event in heard.events:
            show(event)
        for thing in gc.get_objects():
            if type(thing).__module__.startswith("wxtoken_asgi"):
                show(thing)
        async with anyio.create_task_group() as group:
            group.start_soon(fail, tokens)


async def fail(tokens):
    held = await tokens.access_token("good")
    assert not held, "the crash that is wanted"


faulthandler.dump_traceback(all_threads=True)
anyio.run(main, backend=sys.argv[1])
