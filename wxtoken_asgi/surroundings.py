"""What the process's surroundings say of other processes that serve the same accounts, and what follows."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, NamedTuple, Self

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.stores import Store

HANDED_DOWN: Final = "_WXTOKEN_SERVE"
"""In a worker of `wxtoken serve`: what it is to serve. Its parent has looked around already."""


class _Server(NamedTuple):
    """How a server is told its number of workers: by flags, else by variables."""

    flags: tuple[str, ...]
    number: str = ""
    arguments: str = ""


_SERVERS: Final[Mapping[str, _Server]] = {
    "uvicorn": _Server(("--workers",), "WEB_CONCURRENCY"),
    "fastapi": _Server(("--workers",), "WEB_CONCURRENCY"),
    "gunicorn": _Server(("-w", "--workers"), "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"),
    "hypercorn": _Server(("-w", "--workers")),
    "granian": _Server(("--workers",), "GRANIAN_WORKERS"),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is visible from inside one process; a configuration file of gunicorn's is not.

    Args:
        workers: how many processes the server was told to run.
        kubernetes: whether this is a pod.
        believes_all: the server was told to believe whoever names another client in a header.
    """

    workers: int = 1
    kubernetes: bool = False
    believes_all: bool = False

    @classmethod
    def seen(cls, environ: Mapping[str, str] | None = None, argv: Sequence[str] | None = None) -> Self:
        """Look around; nothing is seen where `wxtoken serve` has looked already.

        Args:
            environ: the environment; None for the process's own.
            argv: the program and its arguments, which a server's workers share; None for the process's own.
        """
        environ = os.environ if environ is None else environ
        if HANDED_DOWN in environ:
            return cls()
        argv = sys.argv if argv is None else argv
        return cls(_workers(environ, argv), in_kubernetes(environ), _believes_all(environ, argv))

    def warnings(self, *, shared: bool, one_host: bool, dooming: Sequence[str]) -> list[str]:
        """What an operator should hear of the store.

        Args:
            shared: other processes see the same records.
            one_host: the store is reached from one host or one process only.
            dooming: names of accounts whose every fetch dooms the token before it.

        Raises:
            ConfigError: processes with stores of their own would doom one another's tokens.
        """
        found = []
        if self.workers > 1 and not shared:
            if dooming:
                msg = (
                    f"account {dooming[0]}: endpoint 'token' with {self.workers} workers needs a store"
                    " that they share; with 'memory:' each would doom the others' tokens"
                )
                raise ConfigError(msg)
            found.append("store 'memory:' is each worker's own: the others do not see what one refreshes")
        if self.believes_all:
            found.append(
                "the server was told to believe any X-Forwarded-For (forwarded-allow-ips '*'): whoever"
                " reaches it can pretend to be any address; switch its proxy handling off"
                " (--no-proxy-headers) and list the proxies in trusted_proxies"
            )
        if self.kubernetes and one_host:
            where = "file" if shared else "memory"
            found.append(
                f"store: this is Kubernetes, and replicas that each have a {where} of their own are several"
                " fetchers; run one replica with strategy Recreate, or let them share a Redis"
            )
        return found


def in_kubernetes(environ: Mapping[str, str]) -> bool:
    """Whether this is a pod: each has this variable."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST"))


def look_around(store: Store, dooming: Sequence[str]) -> list[str]:
    """What an operator should hear as this process opens a store.

    Args:
        store: the store.
        dooming: names of accounts whose every fetch dooms the token before it.

    Raises:
        ConfigError: processes with stores of their own would doom one another's tokens.
    """
    seen = Surroundings.seen()
    one_host = seen.kubernetes and _on_one_host(store)
    return seen.warnings(shared=store.shared, one_host=one_host, dooming=dooming)


def _on_one_host(store: Store) -> bool:
    if not store.shared:
        return True
    from wxtoken_asgi.stores.sqlite import SQLiteStore  # noqa: PLC0415 - only where it is in use

    return isinstance(store, SQLiteStore)


def _workers(environ: Mapping[str, str], argv: Sequence[str]) -> int:
    server = _SERVERS.get(_program(argv))
    if server is None:
        return 1
    words = [*_words(environ.get(server.arguments, "")), *argv[1:]]
    told = [environ.get(server.number, ""), *_values(server.flags, words)]
    return next((int(text) for text in reversed(told) if text.isdecimal()), 1)


def _believes_all(environ: Mapping[str, str], argv: Sequence[str]) -> bool:
    """Uvicorn's and gunicorn's option by which every peer is a proxy."""
    if _program(argv) not in {"uvicorn", "fastapi", "gunicorn"}:
        return False
    words = [*_words(environ.get("GUNICORN_CMD_ARGS", "")), *argv[1:]]
    told = [environ.get("FORWARDED_ALLOW_IPS", ""), *_values(("--forwarded-allow-ips",), words)]
    return "--no-proxy-headers" not in words and "*" in told[-1]


def _program(argv: Sequence[str]) -> str:
    """The program's name, also where Python runs it as a module."""
    path = PurePath(argv[0]) if argv else PurePath()
    return path.parent.name if path.name == "__main__.py" else path.stem


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an open quotation: the server will say so
        return []


def _values(flags: Sequence[str], words: Sequence[str]) -> list[str]:
    """What is given as `--flag 4`, `--flag=4` or `-f4`, in the order of the words."""
    glued = tuple(f"{flag}=" if flag.startswith("--") else flag for flag in flags)
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in flags:
            found.append(following)
        elif word.startswith(glued):
            found.append(word.partition("=")[2] if word.startswith("--") else word[2:])
    return found
