"""`wxtoken token`: asks a running server, or goes through the store's lease; never dooms another's token."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

import anyio
import httpx

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.command import place
from wxtoken_asgi.config import Config, load
from wxtoken_asgi.config.layers import KEY
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.errors import ConfigError, StoreError, UnknownAccount, WxTokenError
from wxtoken_asgi.keys import sent_key
from wxtoken_asgi.manager import ACCESS_TOKEN, JSAPI_TICKET, TokenManager
from wxtoken_asgi.records import Account, is_loopback_url
from wxtoken_asgi.stores import Store, open_store

_WAIT_S: Final = 15.0  # a server lets a read wait for 5 s, and its answer may take a while
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing is bound here)


@dataclass(frozen=True, slots=True)
class Asked:
    """What `wxtoken token` was asked for.

    Args:
        app: the account's name or appid.
        kind: `token` or `ticket`.
        server: the running server with its prefix, or None for the one that the configuration describes.
        config: the configuration file, or None.
        client_key: the key to ask the server with, or None.
    """

    app: str
    kind: str = "token"
    server: str | None = None
    config: str | None = None
    client_key: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """What WeChat calls the value."""
        return "access_token" if self.kind == "token" else "ticket"


def read(asked: Asked) -> dict[str, Any]:
    """Get a value and how long it may be kept, as WeChat shapes it.

    Raises:
        ConfigError: the configuration or the server's address is wrong, or a fetch would doom a token.
        WxTokenError: the server refuses or cannot be reached, or WeChat refuses.
    """
    if asked.server is not None:
        answer = _ask(asked.server, asked)
        if answer is None:
            msg = f"nothing listens on {_plain(asked.server)}"
            raise WxTokenError(msg)
        return answer
    config = load(asked.config)
    server = _address(config)
    answer = _ask(server, asked)
    return _fetch(config, asked, server) if answer is None else answer


def _address(config: Config) -> str:
    host = _ANYWHERE.get(config.host, config.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}{config.prefix}"


def _ask(server: str, asked: Asked) -> dict[str, Any] | None:
    """The server's answer, or None if nothing listens there."""
    url = f"{server.rstrip('/')}/{asked.kind}/{quote(asked.app, safe='')}"
    headers = _headers(asked)
    try:
        # A proxy of the environment knows nothing of this machine's loopback.
        with httpx.Client(trust_env=not is_loopback_url(server), timeout=_WAIT_S) as client:
            answer = client.get(url, params={"format": "json"}, headers=headers)
    except httpx.ConnectError:
        return None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        msg = "--server must be an address such as http://127.0.0.1:8000/wx"
        raise ConfigError(msg) from None
    except httpx.HTTPError as problem:
        msg = f"{_plain(server)} gave no answer: {type(problem).__name__}"
        raise WxTokenError(msg) from None
    return _checked(answer, asked, server)


def _headers(asked: Asked) -> dict[str, str]:
    if asked.client_key is None:
        return {}
    if sent_key(f"Bearer {asked.client_key}".encode()):
        return {"authorization": f"Bearer {asked.client_key}"}
    msg = f"{KEY} must be a key as `wxtoken key` prints it"
    raise ConfigError(msg)


def _checked(answer: httpx.Response, asked: Asked, server: str) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    said = body if isinstance(body, dict) else {}
    value = said.get(asked.key)
    if answer.status_code == httpx.codes.OK and isinstance(value, str):
        return {asked.key: value, "expires_in": said.get("expires_in")}
    if isinstance(said.get("errmsg"), str):
        raise WxTokenError(said["errmsg"])
    msg = f"{_plain(server)} answered {answer.status_code}, and not as wxtoken does"
    raise WxTokenError(msg)


def _plain(server: str) -> str:
    """The address without a password."""
    parts = urlsplit(server)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _fetch(config: Config, asked: Asked, server: str) -> dict[str, Any]:
    account = Accounts(config.accounts).get(asked.app)
    if account is None:
        raise UnknownAccount(asked.app)
    # This account alone, and no ticket that nobody asked for.
    alone = replace(config, accounts=(replace(account, tickets=()),), store=config.store or "memory:")
    if config.shares_store:
        place.open_once(alone.store or "")  # without its lease a fetch may doom a token
        return anyio.run(_through_manager, alone, asked)
    left = _left(alone, asked) if config.store is None else None
    if left is not None:
        return left
    _check_harmless(account, server)
    return anyio.run(_through_manager, alone, asked)


def _left(config: Config, asked: Asked) -> dict[str, Any] | None:
    """What `wxtoken serve` holds in its default file, if that is still good.

    Only to be read: that file is this user's, and a server may run for another one, with another file.
    """
    with suppress(ConfigError, StoreError):
        file = place.default_file()
        if file.exists():
            return anyio.run(_read_left, config, open_store(place.url_of(file)), asked)
    return None


async def _read_left(config: Config, store: Store, asked: Asked) -> dict[str, Any] | None:
    tokens = config.manager(store=store)
    entry = _entry(tokens, asked)
    at = tokens.clock.moment()
    await store.open()
    try:
        [record] = await store.read([entry.credential])
    finally:
        await store.close()
    entry.adopt(record, at)
    held = entry.good(tokens.clock)
    return None if held is None else _shaped(entry, held, tokens, asked)


def _check_harmless(account: Account, server: str) -> None:
    if account.endpoint != "stable":
        msg = (
            f"account {account.name}: nothing listens on {server}, and with endpoint {account.endpoint!r} and"
            " no shared store written out a fetch would doom the token that others use; start the server,"
            " give --server, or write the store that the server uses"
        )
        raise ConfigError(msg)
    sys.stderr.write(f"wxtoken: nothing listens on {server}; WeChat's stable endpoint was asked instead\n")


async def _through_manager(config: Config, asked: Asked) -> dict[str, Any]:
    async with config.manager() as tokens:
        entry = _entry(tokens, asked)
        return _shaped(entry, await tokens.hold(entry), tokens, asked)


def _entry(tokens: TokenManager, asked: Asked) -> Entry:
    return tokens.entry(asked.app, ACCESS_TOKEN if asked.kind == "token" else JSAPI_TICKET)


def _shaped(entry: Entry, held: Held, tokens: TokenManager, asked: Asked) -> dict[str, Any]:
    kept = entry.kind.policy.may_keep(held.left(tokens.clock), held.ask_in(tokens.clock))
    return {asked.key: held.value, "expires_in": int(kept)}
