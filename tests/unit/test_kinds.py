"""New kinds are rows of the table: a card ticket and WeCom, with the manager and the stores as they are."""

from __future__ import annotations

import httpx
import pytest

from wxtoken_asgi import Account, TokenManager
from wxtoken_asgi.errors import NoSuchCredential, UpstreamRefused
from wxtoken_asgi.hooks import TokenEvent
from wxtoken_asgi.kinds import KINDS, STABLE_TOKEN, Budgets, Kind, ticket_kind
from wxtoken_asgi.policy import TicketPolicy
from wxtoken_asgi.sources import HttpSource
from wxtoken_asgi.weixin import Request

from support.virtual import VirtualClock, virtual_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_backend(request.param)


def _corp_token(account, parent):
    return Request("/cgi-bin/gettoken", params={"corpid": account.appid, "corpsecret": account.secret})


def _corp_ticket(account, parent):
    return Request("/cgi-bin/get_jsapi_ticket", params={"access_token": parent})


CORP_TOKEN = Kind(
    name="access_token",
    source=HttpSource(_corp_token, "access_token", wecom=True),
    policy=TicketPolicy(),  # WeCom serves one token for hours and says 7200 each time
    budgets=Budgets(asked=50),
)
CORP_TICKET = Kind(
    name="jsapi_ticket",
    source=HttpSource(_corp_ticket, "ticket", token_endpoint=False, wecom=True),
    policy=TicketPolicy(),
    budgets=Budgets(asked=50),
    parent="access_token",
    hook="ticket",
    field="ticket",
)
MORE_KINDS = {
    **KINDS,
    "stable": (*KINDS["stable"], ticket_kind("wx_card")),
    "wecom": (CORP_TOKEN, CORP_TICKET),
}

CORP = Account(
    "corp", "ww0123456789abcdef", "corp-secret", endpoint="wecom", tickets=("jsapi",),
    api_base="https://qyapi.weixin.qq.com",
)  # fmt: skip
SHOP = Account("shop", "wx0123456789abcdef", "shop-secret", tickets=("wx_card",))


class Tencent:
    """Both hosts, as far as these kinds need them."""

    def __init__(self):
        self.asked = []
        self.token = 0
        self.dead = set()
        self.refuse = None

    def __call__(self, request):
        self.asked.append((request.url.host, request.url.path))
        query = dict(request.url.params)
        answers = {
            "/cgi-bin/gettoken": self.corp_token,
            "/cgi-bin/get_jsapi_ticket": self.corp_ticket,
            "/cgi-bin/stable_token": self.stable_token,
            "/cgi-bin/ticket/getticket": self.ticket,
        }
        return httpx.Response(200, json=answers[request.url.path](query))

    def corp_token(self, query):
        assert query == {"corpid": CORP.appid, "corpsecret": "corp-secret"}
        if self.refuse:
            return self.refuse
        self.token += 1
        return {"errcode": 0, "errmsg": "ok", "access_token": f"corp-{self.token}", "expires_in": 7200}

    def corp_ticket(self, query):
        if query["access_token"] in self.dead:
            return {"errcode": 40014, "errmsg": "invalid access_token"}
        return {
            "errcode": 0,
            "errmsg": "ok",
            "ticket": f"ticket-of-{query['access_token']}",
            "expires_in": 7200,
        }

    def stable_token(self, query):
        return {"access_token": "stable-1", "expires_in": 7200}

    def ticket(self, query):
        assert query["access_token"] == "stable-1"
        return {"errcode": 0, "errmsg": "ok", "ticket": f"{query['type']}-ticket", "expires_in": 7200}

    def manager(self, *accounts, **more):
        return TokenManager(
            accounts, kinds=MORE_KINDS, clock=VirtualClock(), transport=httpx.MockTransport(self), **more
        )


@pytest.fixture
def tencent():
    return Tencent()


async def test_a_card_ticket_is_a_row(tencent):
    heard = []

    async def hear(event: TokenEvent):
        heard.append((event.kind, event.value))

    async with tencent.manager(SHOP, on_ticket=hear) as tokens:
        entry = tokens.entry("shop", "wx_card_ticket")
        assert (await tokens.hold(entry)).value == "wx_card-ticket"
        assert await tokens.jsapi_ticket("shop") == "jsapi-ticket"
    assert ("wx_card_ticket", "wx_card-ticket") in heard
    assert entry.credential.kind == "wx_card_ticket"


async def test_wecom_is_rows_with_a_host_of_its_own(tencent):
    async with tencent.manager(CORP, SHOP) as tokens:
        assert await tokens.access_token("corp") == "corp-1"
        assert await tokens.jsapi_ticket("corp") == "ticket-of-corp-1"
        assert await tokens.access_token("shop") == "stable-1"
        config = await tokens.js_config("corp", "https://www.example.com/")
        assert config.appId == CORP.appid
    hosts = {path: host for host, path in tencent.asked}
    assert hosts["/cgi-bin/gettoken"] == hosts["/cgi-bin/get_jsapi_ticket"] == "qyapi.weixin.qq.com"
    assert hosts["/cgi-bin/stable_token"] == "api.weixin.qq.com"


async def test_a_dead_wecom_token_is_renewed_before_its_ticket(tencent):
    async with tencent.manager(CORP) as tokens:
        assert await tokens.jsapi_ticket("corp") == "ticket-of-corp-1"
        tencent.dead.add("corp-1")
        await tokens.refresh("corp", "jsapi_ticket")
        assert await tokens.jsapi_ticket("corp") == "ticket-of-corp-2"
        assert await tokens.access_token("corp") == "corp-2"


async def test_wecoms_own_error_table_applies(tencent):
    tencent.refuse = {"errcode": 60020, "errmsg": "not allow to access from your ip, from ip: 203.0.113.7"}
    async with tencent.manager(CORP) as tokens:
        with pytest.raises(UpstreamRefused, match=r"WeCom 60020: .*203\.0\.113\.7") as caught:
            await tokens.access_token("corp")
    assert caught.value.errcode == 60020


async def test_what_has_no_row_cannot_be_had(tencent):
    tokens = tencent.manager(CORP)
    with pytest.raises(NoSuchCredential):
        tokens.entry("corp", "wx_card_ticket")


def test_the_table_cannot_be_changed_and_lists_parents_first():
    with pytest.raises(TypeError):
        KINDS["wecom"] = ()
    for kinds in MORE_KINDS.values():
        known = set()
        for kind in kinds:
            assert kind.parent is None or kind.parent in known
            known.add(kind.name)


def test_the_numbers_of_the_budgets_are_the_designs():
    [stable, ticket], [classic, _] = KINDS["stable"], KINDS["token"]
    assert stable is STABLE_TOKEN
    assert stable.budgets == Budgets(asked=10, forced_only=True, calls=500_000, forced=20)
    assert classic.budgets == Budgets(asked=50, daily_quota=True)
    assert (ticket.budgets, ticket.absent) == (Budgets(asked=50), {48001})


def test_no_row_shows_a_secret():
    assert "secret" not in repr(CORP_TOKEN.source.request(CORP, ""))
