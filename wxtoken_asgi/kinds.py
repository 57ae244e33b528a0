"""The table of kinds: what each credential is called, where it comes from and how it is kept.

A new kind is a new row. Neither the manager nor a store knows any by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wxtoken_asgi.policy import ClassicPolicy, Policy, StablePolicy, TicketPolicy
from wxtoken_asgi.records import Account
from wxtoken_asgi.sources import HttpSource, Source, StableSource
from wxtoken_asgi.weixin import Request


@dataclass(frozen=True, slots=True)
class Budgets:
    """How often a new value may be asked for in a rolling 24 hours.

    Args:
        asked: all asked-for refreshes; half of them without a report.
        forced_only: only those that spent a forced call count.
        daily_quota: the account's `daily_quota` caps all fetches.
    """

    asked: int
    forced_only: bool = False
    daily_quota: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One row.

    Args:
        name: the word for it: `access_token`, `jsapi_ticket`.
        source: where it comes from.
        policy: how it is kept.
        budgets: how often a new one may be asked for.
        parent: the kind whose value its request needs.
        hook: which hook hears of a new value: `token` or `ticket`.
        field: its name in WeChat's JSON.
        absent: the error numbers by which WeChat says that the account can have none.
    """

    name: str
    source: Source
    policy: Policy
    budgets: Budgets
    parent: str | None = None
    hook: str = "token"
    field: str = "access_token"
    absent: frozenset[int] = frozenset()


Kinds = Mapping[str, tuple[Kind, ...]]
"""For each endpoint, the kinds that an account of it can have, parents first."""


def _classic_token(account: Account, parent: str) -> Request:  # noqa: ARG001 - the shape of a builder
    secrets = {"grant_type": "client_credential", "appid": account.appid, "secret": account.secret}
    return Request("/cgi-bin/token", params=secrets)


def _stable_token(account: Account, parent: str, *, force: bool = False) -> Request:  # noqa: ARG001
    body: dict[str, object] = {
        "grant_type": "client_credential",
        "appid": account.appid,
        "secret": account.secret,
    }
    return Request("/cgi-bin/stable_token", body=body | {"force_refresh": True} if force else body)


def _forced_token(account: Account, parent: str) -> Request:
    return _stable_token(account, parent, force=True)


def _probe(token: str) -> Request:
    """WeChat's own addresses: an answer that costs it nothing (get_api_domain_ip)."""
    return Request("/cgi-bin/get_api_domain_ip", params={"access_token": token})


def ticket_kind(word: str) -> Kind:
    """The kind of a ticket: `jsapi` for the JS-SDK, `wx_card` for cards."""

    def request(account: Account, parent: str) -> Request:  # noqa: ARG001
        return Request("/cgi-bin/ticket/getticket", params={"access_token": parent, "type": word})

    return Kind(
        name=f"{word}_ticket",
        source=HttpSource(request, "ticket", token_endpoint=False),
        policy=TicketPolicy(),
        budgets=Budgets(asked=50),
        parent="access_token",
        hook="ticket",
        field="ticket",
        absent=frozenset({48001}),
    )


STABLE_TOKEN: Final = Kind(
    name="access_token",
    source=StableSource(HttpSource(_stable_token, "access_token"), _forced_token, _probe),
    policy=StablePolicy(),
    budgets=Budgets(asked=10, forced_only=True),
)

CLASSIC_TOKEN: Final = Kind(
    name="access_token",
    source=HttpSource(_classic_token, "access_token"),
    policy=ClassicPolicy(),
    budgets=Budgets(asked=50, daily_quota=True),
)

JSAPI_TICKET: Final = ticket_kind("jsapi")

KINDS: Final[Kinds] = MappingProxyType(
    {
        "stable": (STABLE_TOKEN, JSAPI_TICKET),
        "token": (CLASSIC_TOKEN, JSAPI_TICKET),
    }
)
