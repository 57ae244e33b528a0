"""Configurations: any TOML, any bytes, any variable, any included file, as `wxtoken serve` checks them."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from wxtoken_asgi.command.order import warnings
from wxtoken_asgi.command.serve import build
from wxtoken_asgi.config import Config, load
from wxtoken_asgi.config.settings import ACCOUNT, CLIENT, SETTINGS, TOP
from wxtoken_asgi.errors import ConfigError

from .chance import bent, blob, json_value, often, some, text
from .parsers import CANARY
from .tally import Target, must

HEAD: Final = CANARY[:12]
"""So much of a secret is enough to call it a leak."""

NAMES: Final = (
    "alpha",
    "beta",
    "服务号.1",
    "a-b",
    "a_b",
    "A-B",
    "",
    "..",
    "x" * 65,
    "a/b",
    "top",
    "__",
    "a\nb",
)
KEY: Final = f"sha256:{'0a' * 32}"
OTHER_KEY: Final = f"sha256:{'0b' * 32}"
GOOD: Final[dict[str, tuple[Any, ...]]] = {
    "prefix": ("", "/wx", "/wx/中"),
    "store": ("memory:", "sqlite:///tmp/x.db", f"redis://user:{CANARY}@127.0.0.1:6379/0"),
    "store_env": ("THE_STORE",),
    "store_file": ("store.txt",),
    "trusted": (["127.0.0.0/8", "::1"], [], ["10.0.0.0/8"]),
    "trusted_proxies": (["192.0.2.1"], []),
    "hosts": (["tokens.lan"], []),
    "include": (["more.toml"], ["accounts.d/*.toml"], ["**/*.toml"], ["accounts.d/[ab].toml", "none/*"]),
    "namespace": ("wxtoken", "shop"),
    "fetches": (1, 64),
    "ask_every": (270, 1.5),
    "js_config_ticket": (True, False),
    "hooks": ("fuzz.settings:HOOKS", "json:loads", "nosuch:thing", "json:nothing"),
    "host": ("127.0.0.1", "::"),
    "port": (0, 8000),
    "workers": (1, 4),
    "app": ("json:loads", "json:__name__", "nosuch.module:app"),
    "appid": ("wx00000000000000a1", "wx2"),
    "secret": (CANARY,),
    "secret_env": ("THE_SECRET", CANARY),
    "secret_file": ("secret.txt", CANARY, "none.txt", "."),
    "endpoint": ("stable", "token"),
    "tickets": (["jsapi"], []),
    "js_domains": (["www.example.com", "*.example.com"], []),
    "daily_quota": (2000, 200),
    "api_base": ("https://api.weixin.qq.com", "http://127.0.0.1:9"),
    "proxy": (f"http://user:{CANARY}@proxy.lan:3128", f"ftp://user:{CANARY}@x", f"http://user:{CANARY}@[x"),
    "timeout": (10, 0.5),
    "js_config_open": (True, False),
    "js_config_host": ("127.0.0.1", "::"),
    "js_config_port": (0, 8001),
    "audit_log": ("stdout", "stderr", "audit.log"),
    "keys": ([KEY], [f"{KEY} until 2027-01-31"], [OTHER_KEY]),
    "keys_file": ("keys.txt",),
    "accounts": (["alpha"], []),
    "may": (["read"], ["read", "refresh", "call", "operate", "js-config"], []),
    "networks": (["10.0.0.0/8", "unix"], ["::1"]),
    "keyless": (True, False),
}
WRONG_KEYS: Final = (
    *([f"wxk_{CANARY}"], [f"sha256:{CANARY}"], [CANARY], [KEY, 5], [KEY, KEY], [], {"a": CANARY}),
    *("wrong-keys.txt", "none.txt", ".", "", 7, CANARY, f"wxk_{CANARY}"),
)
CLIENTS: Final = ("dev", "lan", "Dev", "trusted", "a b", "..")
SECRET: Final = frozenset(row.name for row in SETTINGS if row.secret) | {"proxy"}
ODD_KEYS: Final = ("appSecret", "trushIp", "prefx", "accounts", "secret", "a b", "", "中", "x" * 300, "a\nb")
VARIABLES: Final = (
    "WXTOKEN_",
    "WXTOKEN_ACCOUNTS__",
    "WXTOKEN_ACCOUNTS__X",
    "WXTOKEN_CLIENTS__",
    "WXTOKEN_CLIENTS__X",
    "WXTOKEN_CLIENT_X",
    "WXTOKEN_PORT_1_TCP",
    "WXTOKEN_PREFX",
)
STORES: Final = (
    "redis",
    "rediss",
    "valkey",
    "unix",
    "redis+sentinel",
    "sqlite",
    "memory",
    "reddis",
    "postgres",
    "",
)
WORDS: Final = (
    "",
    " ",
    "tcp://10.0.0.1:80",
    "true",
    "yes",
    "0",
    "1e999",
    "[",
    '["a"]',
    "[1]",
    "nan",
    "9" * 5000,
    "a,b",
    ",",
)


class HOOKS:
    """What a configuration may name."""

    @staticmethod
    def on_token(event: object) -> None:
        """Hear nothing."""


def _value(rng: Random, name: str) -> Any:
    """A value of a setting: mostly one that can stand, sometimes any other."""
    if often(rng, 0.85) and name in GOOD:
        return rng.choice(GOOD[name])
    if name.endswith(("_env", "_file")) and name in SECRET:  # taken for the one that holds the value itself
        return rng.choice((CANARY, 5, "", [CANARY], *GOOD["store"][2:]))
    if name == "store":
        place = rng.choice(("127.0.0.1:6379/0", "[x", "h:99999/0", "h", "", "h/x/y", "h?db=1", text(rng, 4)))
        return f"{rng.choice(STORES)}://u:{CANARY}@{place}"
    if name in {"keys", "keys_file"}:
        return rng.choice(WRONG_KEYS)
    if name in SECRET:  # whatever is wrong with it, it is a secret
        wrong = rng.choice(
            (f"{CANARY}\n", f" {CANARY}", [CANARY], {"a": CANARY}, f"{CANARY}{text(rng, 5)}", 7)
        )
        return wrong if often(rng, 0.8) else rng.choice((5, True, 1.5, ""))
    return rng.choice((json_value(rng), text(rng), [text(rng, 5)], 10**400, -1, 0, "", [], {}, True, 1e308))


def _table(rng: Random, names: list[str], most: int) -> dict[str, Any]:
    made = {name: _value(rng, name) for name in some(rng, names, most)}
    if often(rng, 0.04):
        made[rng.choice(ODD_KEYS)] = rng.choice((CANARY, 1, {}))
    return made


def _account(rng: Random) -> dict[str, Any]:
    made = {"appid": rng.choice(GOOD["appid"]), "secret": CANARY} if often(rng, 0.9) else {}
    if often(rng, 0.15):
        made.pop("secret", None)
        made |= {form: _value(rng, form) for form in [rng.choice(("secret_env", "secret_file"))]}
    return made | (_table(rng, list(ACCOUNT), 2) if often(rng, 0.5) else {})


def _client(rng: Random) -> dict[str, Any]:
    form = rng.choice(("keys", "keys", "keys_file", "networks"))
    keyless = {"keyless": True} if form == "networks" and often(rng, 0.9) else {}
    return {form: _value(rng, form)} | keyless | (_table(rng, list(CLIENT), 2) if often(rng, 0.5) else {})


def _clients(rng: Random) -> list[str]:
    """The lines of some clients' tables."""
    lines = []
    names = CLIENTS if often(rng, 0.15) else CLIENTS[:2]
    for name in rng.sample(names, rng.choice((0, 0, 0, 1, 2))):
        lines.append(f"[clients.{_key(name)}]")
        lines += [f"{_key(key)} = {_toml(value)}" for key, value in _client(rng).items()]
    return lines


def document(rng: Random, *, included: bool = False) -> bytes:
    """A file's content."""
    if often(rng, 0.05):
        return blob(rng, 80)
    top = _table(rng, list(TOP), 3) if not included or often(rng, 0.05) else {}
    names = rng.sample(NAMES, 1) if often(rng, 0.2) else rng.sample(NAMES[:2], rng.randint(0, 2))
    accounts = {name: _account(rng) for name in names}
    lines = [f"{_key(name)} = {_toml(value)}" for name, value in top.items()]
    if often(rng, 0.1):
        lines.append(f"clients.{_key(rng.choice(CLIENTS[:2]))} = {_toml(_client(rng))}")
    for name, table in accounts.items():
        lines.append(f"[accounts.{_key(name)}]")
        lines += [f"{_key(key)} = {_toml(value)}" for key, value in table.items()]
    lines += _clients(rng)
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    # A secret in the place of a name is known by its form, which must not be bent.
    named = b"_env" in content or b"_file" in content
    return content if named or often(rng, 0.85) else bent(rng, content)


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").isalnum() else _quoted(name)


def _toml(value: Any) -> str:
    """A value in TOML, or what comes nearest to it."""
    match value:
        case bool() | None:
            return str(value).lower()
        case str():
            return _quoted(value)
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            pairs = ", ".join(f"{_quoted(str(key))} = {_toml(inner)}" for key, inner in value.items())
            return f"{{{pairs}}}"
        case _:
            return repr(value)


def _quoted(words: str) -> str:
    escaped = (f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char for char in words)
    return '"' + "".join("\\" + char if char in '"\\' else char for char in escaped) + '"'


def environment(rng: Random) -> dict[str, str]:
    """Variables, most of which are settings."""
    made = {"THE_SECRET": rng.choice((CANARY, "", f"{CANARY}\n")), "THE_STORE": "memory:"}
    for _ in range(rng.choice((0, 0, 1, 3))):
        name = rng.choice(list(TOP))
        made[f"WXTOKEN_{name.upper()}"] = _as_text(rng, name)
    for _ in range(rng.choice((0, 0, 0, 2))):
        name, account = rng.choice(list(ACCOUNT)), rng.choice(("ALPHA", "BETA", "A_B", "NEW", "_"))
        made[f"WXTOKEN_ACCOUNTS__{account}__{name.upper()}"] = _as_text(rng, name)
    for _ in range(rng.choice((0, 0, 0, 0, 0, 2))):
        name, client = rng.choice(list(CLIENT)), rng.choice(("DEV", "LAN", "NEW", "_"))
        made[f"WXTOKEN_CLIENTS__{client}__{name.upper()}"] = _as_text(rng, name)
    if often(rng, 0.03):
        name = rng.choice(VARIABLES) + text(rng, 4).replace("=", "")
        made["".join(filter(str.isprintable, name))] = rng.choice(WORDS)
    if often(rng, 0.3):
        del made[rng.choice(list(made))]
    return made


def _as_text(rng: Random, name: str) -> str:
    if name not in SECRET and often(rng, 0.15):
        return rng.choice(WORDS)
    value = _value(rng, name)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value).replace("\0", "")


def case(rng: Random, steps: int) -> int:
    """Configurations in one folder after another."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        for _ in range(steps):
            _one(rng, Path(folder))
    return steps


def _one(rng: Random, folder: Path) -> None:
    (folder / "accounts.d").mkdir(exist_ok=True)
    files = {"wxtoken.toml": document(rng)}
    files["more.toml"] = document(rng, included=True) if often(rng, 0.3) else b""
    files["accounts.d/a.toml"] = document(rng, included=True) if often(rng, 0.3) else b""
    files["secret.txt"] = rng.choice((f"{CANARY}\n".encode(), CANARY.encode(), b"", b"\xff", b"a b\n\n"))
    files["keys.txt"] = rng.choice((f"# of dev\n{KEY} # Ann\n".encode(), f"{OTHER_KEY}\n".encode()))
    files["wrong-keys.txt"] = rng.choice(
        (f"{KEY}\nwxk_{CANARY}\n".encode(), CANARY.encode(), b"", b"#\n", b"\xff")
    )
    files["store.txt"] = rng.choice((b"memory:\n", b"nothing", f"redis://u:{CANARY}@h:99999/".encode()))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    environ = environment(rng)
    given = (files, environ)
    path = rng.choice((*["wxtoken.toml"] * 20, "none.toml", "accounts.d"))
    try:
        config = load(str(folder / path), environ=environ)
        _serve(config)
    except ConfigError as wrong:
        said = str(wrong)
        must(said and len(said.splitlines()) == 1 and said.isprintable(), "one clean line", said, *given)
        must(HEAD not in said, "no secret is told", said, *given)
        return
    must(HEAD not in repr(config), "no repr shows a secret", *given)


def _serve(config: Config) -> None:
    """What `wxtoken serve` checks before it begins."""
    logger, before = logging.getLogger("wxtoken_asgi"), list(sys.path)
    logger.disabled = True
    try:
        warnings(config)
        build(config)
    finally:
        logger.disabled = False
        sys.path[:] = before
        os.environ.pop("WXTOKEN_STORE", None)


TARGET: Final = Target("settings", case, 50)
