"""Servers x apps x behaviours: which cells can exist, and what is to happen in each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product

_PYTHON = sys.executable
_TERMINATED = -15  # uvicorn raises the signal again once it has shut down


@dataclass(frozen=True, slots=True)
class Server:
    """A server as it is started.

    Attributes:
        command: the command line; `{port}` is put in.
        lifespan: whether it sends a lifespan scope at all.
        stopped: its exit code after SIGTERM.
        refused: its exit code after `startup.failed`.
        failed: its exit code after `shutdown.failed`.
    """

    command: str
    lifespan: bool = True
    stopped: int = 0
    refused: int = 1
    failed: int = 0

    def argv(self, port: int) -> list[str]:
        return [_PYTHON, "-m", *self.command.format(port=port).split()]


_UVICORN = "uvicorn apps:app --host 127.0.0.1 --port {port}"
_HYPERCORN = "hypercorn apps:app --bind 127.0.0.1:{port} --worker-class"
_GRANIAN = "granian apps:app --host 127.0.0.1 --port {port} --interface"

SERVERS = {
    "uvicorn auto": Server(_UVICORN, stopped=_TERMINATED, refused=3, failed=_TERMINATED),
    "uvicorn off": Server(f"{_UVICORN} --lifespan off", lifespan=False, stopped=_TERMINATED),
    # Hypercorn's parent process joins a failed worker twice, and the second time finds no exit code: with an
    # unwrapped app its exit code after `startup.failed` is 0 too (0.18.0).
    "hypercorn asyncio": Server(f"{_HYPERCORN} asyncio", refused=0),
    "hypercorn trio": Server(f"{_HYPERCORN} trio", refused=0),
    "granian asgi": Server(f"{_GRANIAN} asgi"),
    "granian asginl": Server(f"{_GRANIAN} asginl", lifespan=False),
    "daphne": Server("daphne apps:app --bind 127.0.0.1 --port {port}", lifespan=False),
}
APPS = ("starlette", "fastapi", "quart", "litestar", "django", "bare", "wsgi")
MODES = ("starts", "refuses", "no-lifespan", "dies")

_ANSWERS_ALWAYS = "the framework always answers the lifespan"
_NO_LIFESPAN = "it has no lifespan, so no start to fail"

# Cells that cannot exist, whatever the server, and why.
_NOT_WRITABLE = {
    ("starlette", "no-lifespan"): _ANSWERS_ALWAYS,
    ("fastapi", "no-lifespan"): _ANSWERS_ALWAYS,
    ("quart", "no-lifespan"): _ANSWERS_ALWAYS,
    ("litestar", "no-lifespan"): _ANSWERS_ALWAYS,
    ("quart", "dies"): "Quart logs what its background tasks raise; its lifespan goes on",
    ("django", "starts"): "Django has no lifespan: see its row no-lifespan",
    ("django", "refuses"): _NO_LIFESPAN,
    ("django", "dies"): _NO_LIFESPAN,
    ("wsgi", "refuses"): "a2wsgi answers the lifespan itself; the WSGI app has no part in it",
    ("wsgi", "dies"): "a2wsgi answers the lifespan itself; the WSGI app has no part in it",
}
_NOT_ON_TRIO = {
    "django": "Django's ASGI handler needs asyncio",
    "wsgi": "a2wsgi and asgiref need asyncio",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One server, one app, one behaviour."""

    server: str
    app: str
    mode: str

    @property
    def on_trio(self) -> bool:
        return self.server == "hypercorn trio"

    @property
    def program(self) -> str:
        """The app's builder: on trio, Quart is quart-trio."""
        return "quart-trio" if self.app == "quart" and self.on_trio else self.app

    @property
    def impossible(self) -> str | None:
        """Why this cell cannot exist, or None."""
        if self.on_trio and self.app in _NOT_ON_TRIO:
            return _NOT_ON_TRIO[self.app]
        if self.program == "quart-trio" and self.mode == "dies":
            return None  # its nursery hands the error on
        return _NOT_WRITABLE.get((self.app, self.mode))

    def __str__(self) -> str:
        return f"{self.server}/{self.app}/{self.mode}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in a cell, or what is to happen.

    Attributes:
        serves: whether `/hello`, our own `/wx/health/live` and `/wx/token/alpha` are answered, for good.
        code: the exit code.
        journal: what the manager, the app and our log said, in order.
    """

    serves: bool
    code: int | None
    journal: tuple[str, ...]

    def __str__(self) -> str:
        served = "serves" if self.serves else "does not serve"
        return f"{served}, exit {self.code}, {' > '.join(self.journal) or 'no journal'}"


def expected(cell: Cell) -> Outcome:
    server = SERVERS[cell.server]
    if not server.lifespan:
        # one warning, at the first token: they are fetched on demand
        return Outcome(serves=True, code=server.stopped, journal=("log WARNING demand",))
    if cell.mode == "refuses":
        return Outcome(serves=False, code=server.refused, journal=("open", "closed"))
    if cell.mode == "no-lifespan":
        return Outcome(serves=True, code=server.stopped, journal=("open", "log INFO lifespan", "closed"))
    if cell.mode == "dies":
        journal = ("open", "app started", "app died", "log ERROR lifespan", "closed")
        return Outcome(serves=True, code=server.failed, journal=journal)
    own = () if cell.app == "wsgi" else ("app started", "app stopped")
    return Outcome(serves=True, code=server.stopped, journal=("open", *own, "closed"))


def all_cells() -> list[Cell]:
    return [Cell(*names) for names in product(SERVERS, APPS, MODES)]
