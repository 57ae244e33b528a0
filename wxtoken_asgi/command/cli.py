"""The command line: `wxtoken serve`, `wxtoken sandbox`, `wxtoken token`, `wxtoken key`.

Exit codes: 0 for success, 2 for a wrong configuration or command line (one line on stderr), 1 for the rest.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NoReturn

from wxtoken_asgi.command import place
from wxtoken_asgi.command.ask import Asked, read
from wxtoken_asgi.command.hangup import held_back
from wxtoken_asgi.command.newkey import explained, hand_out, rotate
from wxtoken_asgi.command.order import Order
from wxtoken_asgi.config.layers import KEY
from wxtoken_asgi.config.settings import TOP
from wxtoken_asgi.errors import ConfigError, WxTokenError
from wxtoken_asgi.keys import Key, hide, new_key

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_FLAGS: Final = ("host", "port", "workers", "prefix", "store", "app")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None for the process's own.

    Returns:
        The exit code.
    """
    args = _parser().parse_args(argv)
    _find_modules_here()
    try:
        code: int = args.run(args)
    except WxTokenError as problem:
        print(f"wxtoken: {_line(str(problem))}", file=sys.stderr)
        return 2 if isinstance(problem, ConfigError) else 1
    except KeyboardInterrupt:
        return 1
    return code


def _find_modules_here() -> None:
    """An installed command does not look for modules in its folder by itself; workers inherit this."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def _line(text: str) -> str:
    """One line without control characters, whatever a server or a file's name brought, and without a key."""
    return hide(_printable(text))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_line(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="wxtoken", description="The token center for WeChat accounts.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"wxtoken-asgi {version('wxtoken-asgi')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_serve(commands.add_parser("serve", help="run the token center", allow_abbrev=False))
    _add_sandbox(commands.add_parser("sandbox", help="run a WeChat on this machine", allow_abbrev=False))
    _add_token(commands.add_parser("token", help="print an account's token", allow_abbrev=False))
    _add_key(commands.add_parser("key", help="make a client's key", allow_abbrev=False))
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_serve)
    add = parser.add_argument
    add("--config", metavar="FILE", help="the TOML file; else WXTOKEN_CONFIG names it")
    add("--host", help="the address to listen on (127.0.0.1)")
    add("--port", type=int, help="the port to listen on (8000); 0: any free one")
    add("--workers", type=int, metavar="N", help="how many processes (1)")
    add("--prefix", help="the path below which our own paths lie, such as /wx")
    add("--store", metavar="URL", help="where credentials are kept (a file in your state directory)")
    add("--app", metavar="MODULE:OBJECT", help="your own ASGI app, to be wrapped")
    add("--sandbox", action="store_true", help="put a sandbox in WeChat's place, with a store of its own")
    add("--log-level", choices=_LEVELS, default="info", metavar="LEVEL", help=f"{', '.join(_LEVELS)} (info)")
    add("--access-log", action="store_true", help="a line for each request, without queries")


def _port(text: str) -> int:
    problem = TOP["port"].complaint(int(text))
    if problem:
        raise argparse.ArgumentTypeError(problem)
    return int(text)


def _add_sandbox(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_sandbox)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=8001, help="the port to listen on (8001); 0: any free one"
    )
    parser.add_argument("--log-level", choices=_LEVELS, default="warning", metavar="LEVEL", help="(warning)")


def _add_token(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_token)
    parser.add_argument("app", metavar="APP", help="the account's name or appid")
    parser.add_argument("--config", metavar="FILE", help="the TOML file; else WXTOKEN_CONFIG names it")
    parser.add_argument(
        "--server", metavar="URL", help=f"the running server, with its prefix; {KEY} holds the key for it"
    )
    parser.add_argument(
        "--kind", choices=("token", "ticket"), default="token", help="which of the two (token)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with expires_in")


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_key)
    parser.description = "The key alone goes to stdout; what a configuration keeps of it goes to stderr."
    where = parser.add_mutually_exclusive_group()
    where.add_argument("name", nargs="?", metavar="NAME", help="the client's name")
    where.add_argument("--into", metavar="FILE", help="add it to a keys_file; the keys before it end")
    parser.add_argument("--days", type=_days, metavar="N", help="how long it lives (for ever)")
    parser.add_argument(
        "--overlap", type=_hours, metavar="HOURS", help="how long the keys before it live at most (24)"
    )


def _days(text: str) -> float:
    return _within(text, 1 / 86_400, 36_500)


def _hours(text: str) -> float:
    return _within(text, 0, 8_760)


def _within(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if least <= number <= most:
        return number
    msg = f"it must be a number, {'above' if least else 'at least'} 0 and at most {most}, not {text[:20]!r}"
    raise argparse.ArgumentTypeError(msg)


def _serve(args: argparse.Namespace) -> int:
    serve = _server()
    flags = {name: getattr(args, name) for name in _FLAGS if getattr(args, name) is not None}
    store = flags.pop("store", None)
    with ExitStack() as stack:
        stack.enter_context(held_back())
        order = Order(args.config, flags)
        if args.sandbox:
            store = store or stack.enter_context(place.temporary())
            sock = stack.enter_context(serve.listen("127.0.0.1", 0))
            order = Order(args.config, flags, serve.address_of(sock))
        stack.enter_context(order.hand_down(store))
        live = serve.in_parent(order)
        config = live.config
        serve.build(config)
        place.try_out(config.store or "memory:")
        serve.try_audit(config.audit_log)
        doors = [stack.enter_context(door) for door in serve.listen_all(config)]
        if args.sandbox:
            stack.enter_context(serve.sandbox_beside(sock))
            serve.announce(config, serve.address_of(doors[0]), order.sandbox)
        code: int = serve.run(live, doors, log_level=args.log_level, access_log=args.access_log)
    return code


def _sandbox(args: argparse.Namespace) -> int:
    serve = _server()
    with serve.listen(args.host, args.port) as sock:
        address = serve.address_of(sock)
        print(
            f"a WeChat sandbox listens on {address}; any appid like wx0123456789abcdef has an account. Try:"
        )
        query = "grant_type=client_credential&appid=wx0123456789abcdef&secret=any"
        print(f"  curl '{address}/cgi-bin/token?{query}'")
        print(f"  curl {address}/sandbox/calls", flush=True)
        code: int = serve.run_sandbox(sock, log_level=args.log_level)
    return code


def _server() -> Any:
    """The part that needs the extra `[server]`."""
    for name in ("uvicorn", "httptools"):
        if importlib.util.find_spec(name) is None:
            msg = f"{name} is missing: pip install 'wxtoken-asgi[server]'"
            raise ConfigError(msg)
    return importlib.import_module("wxtoken_asgi.command.serve")


def _token(args: argparse.Namespace) -> int:
    asked = Asked(args.app, args.kind, args.server, args.config, os.environ.get(KEY) or None)
    answer = read(asked)
    print(json.dumps(answer) if args.json else _printable(answer[asked.key]))
    return 0


def _key(args: argparse.Namespace) -> int:
    if args.overlap is not None and args.into is None:
        msg = "--overlap: it belongs to --into"
        raise ConfigError(msg)
    now, key = time.time(), new_key()
    kept = Key.of(key, None if args.days is None else now + args.days * 86_400)
    if args.into is None:
        said = explained(kept, args.name)
        hand_out(key)
    else:
        overlap = 24 if args.overlap is None else args.overlap
        rotate(Path(args.into), kept, now, overlap * 3_600, partial(hand_out, key))
        said = [
            f"{_line(args.into)}: key {kept.id} is added, those before it end in {overlap:g} hours at most"
        ]
    print("\n".join(said), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
