"""One server process of ours, as an operator would run it, but with traps and a clock that can be stepped.

    python -m processes.worker '{"config": …, "name": …, "traps": …, "lease": …, "wall": …}'

`traps` is a folder, and `wall` a file that holds by how many seconds the wall clock is off.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import uvicorn

from wxtoken_asgi import WxTokenMiddleware
from wxtoken_asgi.config import load
from wxtoken_asgi.stores import open_store

from processes.traps import SteppedClock, TrappedStore, TrappedTransport, Traps


def build(plan: dict[str, str]) -> WxTokenMiddleware:
    """The app that the plan asks for."""
    config = load(plan["config"])
    clock = SteppedClock(plan["wall"])
    traps = Traps(Path(plan["traps"]), plan["name"])
    tokens = config.manager(
        store=TrappedStore(open_store(config.store, clock=clock), traps),
        transport=TrappedTransport(traps),
        clock=clock,
        lease=float(plan["lease"]),
    )
    return config.middleware(tokens=tokens)


def main(plan: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    uvicorn.run(build(json.loads(plan)), port=0, access_log=False, proxy_headers=False)


if __name__ == "__main__":
    main(sys.argv[1])
