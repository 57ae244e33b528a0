"""The table of kinds: what each credential is called, where it comes from and how it is kept.

A new kind is a new row. Neither the manager nor a store knows any by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wxtoken_asgi.liveness import ClassicSource, Probe, ProbeSource, StableSource
from wxtoken_asgi.options import seconds
from wxtoken_asgi.policy import ClassicPolicy, Policy, ProbePolicy, StablePolicy, TicketPolicy
from wxtoken_asgi.records import Account
from wxtoken_asgi.sources import HttpSource, Source
from wxtoken_asgi.weixin import Request

SHORTEST_PROBE_S: Final = 60.0
LONGEST_PROBE_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Budgets:
    """How often a new value may be asked for in a rolling 24 hours.

    Args:
        asked: all asked-for refreshes; half of them without a report.
        forced_only: only those that spent a forced call count.
        daily_quota: the account's `daily_quota` caps all fetches.
        calls: what WeChat allows of its endpoint, where nothing here keeps to it; None: not known.
        forced: the same of forced calls.
    """

    asked: int
    forced_only: bool = False
    daily_quota: bool = False
    calls: int | None = None
    forced: int | None = None


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
        probe: builds a cheap call that shows whether a value still works; None: there is none.
        watches: it only watches its parent: kept from the start, and nobody is told of it.
    """

    name: str
    source: Source
    policy: Policy
    budgets: Budgets
    parent: str | None = None
    hook: str = "token"
    field: str = "access_token"
    absent: frozenset[int] = frozenset()
    probe: Probe | None = None
    watches: bool = False


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
    if not force:
        return Request("/cgi-bin/stable_token", body=body)
    return Request("/cgi-bin/stable_token", body=body | {"force_refresh": True}, counts="forced")


def _forced_token(account: Account, parent: str) -> Request:
    return _stable_token(account, parent, force=True)


def _probe(token: str) -> Request:
    """WeChat's own addresses: an answer that costs it nothing (get_api_domain_ip)."""
    return Request("/cgi-bin/get_api_domain_ip", params={"access_token": token}, counts="probes")


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


def probe_kind(of: Kind, probe: Probe, every_s: float) -> Kind:
    """What tries the values of another kind from time to time, so that one that died is replaced."""
    return Kind(
        name=f"{of.name}_probe",
        source=ProbeSource(probe),
        policy=ProbePolicy(every_s),
        budgets=Budgets(asked=50),
        parent=of.name,
        hook="",
        watches=True,
    )


def with_probes(kinds: Kinds, every_s: float | None) -> Kinds:
    """The same table with a probe for each kind that can be tried.

    Args:
        kinds: the table.
        every_s: seconds between two probes, 60 or more; None or 0: no probes.

    Raises:
        ConfigError: the seconds are none of these.
    """
    if every_s is None or every_s == 0:
        return kinds
    seconds("probe_every", every_s, least=SHORTEST_PROBE_S, most=LONGEST_PROBE_S)

    def probes(row: tuple[Kind, ...]) -> Iterator[Kind]:
        for kind in row:
            if kind.probe is not None:
                yield probe_kind(kind, kind.probe, every_s)

    return MappingProxyType({endpoint: (*row, *probes(row)) for endpoint, row in kinds.items()})


STABLE_TOKEN: Final = Kind(
    name="access_token",
    source=StableSource(HttpSource(_stable_token, "access_token"), _forced_token, _probe),
    policy=StablePolicy(),
    budgets=Budgets(asked=10, forced_only=True, calls=500_000, forced=20),
    probe=_probe,
)

CLASSIC_TOKEN: Final = Kind(
    name="access_token",
    source=ClassicSource(HttpSource(_classic_token, "access_token"), _probe),
    policy=ClassicPolicy(),
    budgets=Budgets(asked=50, daily_quota=True),
    probe=_probe,
)

JSAPI_TICKET: Final = ticket_kind("jsapi")

KINDS: Final[Kinds] = MappingProxyType(
    {
        "stable": (STABLE_TOKEN, JSAPI_TICKET),
        "token": (CLASSIC_TOKEN, JSAPI_TICKET),
    }
)
