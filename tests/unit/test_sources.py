"""Sources: what counts as a value, what as a refusal, and when the stable endpoint is forced."""

from __future__ import annotations

import json

import httpx
import pytest

from wxtoken_asgi.errcodes import ErrorClass
from wxtoken_asgi.kinds import CLASSIC_TOKEN, JSAPI_TICKET, STABLE_TOKEN
from wxtoken_asgi.records import Account
from wxtoken_asgi.sources import Answer, Ask, Reason, RefusedError
from wxtoken_asgi.weixin import UpstreamError, Weixin

from support.virtual import VirtualClock

SECRET = "0123456789abcdef-appsecret"
ACCOUNT = Account("alpha", "wx01", SECRET)
HELD, NEW = "90_held-token", "91_new-token"
MISSING = "<no such field>"  # a marker of its own, printable the same in every run


class Wechat:
    """Answers in turn with what it is given, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def handle(self, request):
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.url.path, dict(request.url.params), body))
        answer = self.answers.pop(0)
        return httpx.Response(200, content=answer if isinstance(answer, bytes) else json.dumps(answer))

    @property
    def paths(self):
        return [path for path, _, _ in self.asked]

    async def fetch(self, kind, reason=Reason.DUE, *, held=HELD, parent=None):
        async with Weixin(httpx.MockTransport(self.handle)) as weixin:
            return await kind.source.fetch(Ask(ACCOUNT, reason, held, parent), weixin, VirtualClock())


def good(value=NEW, expires_in=7200):
    return {"access_token": value, "expires_in": expires_in}


def answer(field="access_token", **changes):
    """A good answer with these changes; MISSING: without that field."""
    fields = {field: NEW, "expires_in": 7200} | changes
    return {name: value for name, value in fields.items() if value is not MISSING}


async def unusable(kind, body):
    with pytest.raises(UpstreamError) as caught:
        await Wechat(body).fetch(kind, parent="parent")
    assert (caught.value.cls, caught.value.undecided) == ("transient", True)
    assert NEW not in repr(caught.value)
    assert SECRET not in repr(caught.value)
    return str(caught.value)


# what counts as a value


@pytest.mark.parametrize("value", [NEW, "x", "~!@#", "x" * 2048])
@pytest.mark.parametrize("kind", [CLASSIC_TOKEN, STABLE_TOKEN, JSAPI_TICKET])
async def test_a_word_is_a_value(kind, value):
    body = answer(kind.field, **{kind.field: value})
    assert (await Wechat(body).fetch(kind, parent="parent")).value == value


@pytest.mark.parametrize(
    "value",
    [
        MISSING, None, "", " ", "a b", " a", "a\n", "\t", "a\x00", "\x7f", "\u00e9", "令牌", "\ud800",
        "x" * 2049, "x" * 40_000, 7, 7.5, True, ["a"], {"a": "b"},
    ],
    ids=ascii,
)  # fmt: skip
@pytest.mark.parametrize("kind", [CLASSIC_TOKEN, STABLE_TOKEN, JSAPI_TICKET])
async def test_anything_else_is_none(kind, value):
    body = answer(kind.field, **{kind.field: value})
    assert await unusable(kind, body) == f"the answer has no usable {kind.field}"


@pytest.mark.parametrize("expires_in", [1, 7200, 7200.5, 0.5, 86_400])
async def test_a_life_is_a_number_of_seconds_up_to_a_day(expires_in):
    assert (await Wechat(answer(expires_in=expires_in)).fetch(CLASSIC_TOKEN)).expires_in == expires_in


@pytest.mark.parametrize(
    "expires_in",
    [
        MISSING, None, True, False, "7200", "", 0, -1, -7200, 86_401, 1e9, 10**400,
        float("nan"), float("inf"), float("-inf"), [7200], {},
    ],
    ids=lambda value: ascii(value)[:12],
)  # fmt: skip
@pytest.mark.parametrize("kind", [CLASSIC_TOKEN, STABLE_TOKEN, JSAPI_TICKET])
async def test_anything_else_is_no_life(kind, expires_in):
    body = answer(kind.field, expires_in=expires_in)
    assert await unusable(kind, body) == "the answer has no usable expires_in"


async def test_a_number_that_is_no_json_number_is_none():
    body = b'{"access_token": "t", "expires_in": 1e999}'
    assert await unusable(CLASSIC_TOKEN, body) == "the answer has no usable expires_in"


@pytest.mark.parametrize("errcode", ["0", "40001", None, True, False, 0.0, 40001.0, [], {}], ids=ascii)
@pytest.mark.parametrize("kind", [CLASSIC_TOKEN, STABLE_TOKEN, JSAPI_TICKET])
async def test_an_errcode_that_is_no_number_makes_an_answer_unusable(kind, errcode):
    body = answer(kind.field, errcode=errcode)
    assert await unusable(kind, body) == "the answer's errcode is no number"


async def test_an_errcode_of_0_is_a_success():
    assert (await Wechat(answer(errcode=0, errmsg="ok")).fetch(CLASSIC_TOKEN)).value == NEW


async def test_further_fields_do_no_harm():
    body = answer(warning_msg="old TLS", ip_list=[], access_token2="x")
    assert (await Wechat(body).fetch(CLASSIC_TOKEN)).value == NEW


async def test_life_is_counted_from_before_the_sending():
    clock = VirtualClock()

    def slow(request):
        clock.slept += 7
        return httpx.Response(200, json=good())

    begun = clock.monotonic()
    async with Weixin(httpx.MockTransport(slow)) as weixin:
        fetched = await CLASSIC_TOKEN.source.fetch(Ask(ACCOUNT, Reason.DUE), weixin, clock)
    assert fetched.sent_at == pytest.approx(begun, abs=1)
    assert clock.monotonic() - fetched.sent_at >= 7


# refusals


@pytest.mark.parametrize(
    ("kind", "errcode", "cls"),
    [
        (CLASSIC_TOKEN, 40001, ErrorClass.PERMANENT),
        (STABLE_TOKEN, 40001, ErrorClass.PERMANENT),
        (JSAPI_TICKET, 40001, ErrorClass.DEAD_TOKEN),
        (JSAPI_TICKET, 42001, ErrorClass.DEAD_TOKEN),
        (CLASSIC_TOKEN, 42001, ErrorClass.TRANSIENT),
        (CLASSIC_TOKEN, 40125, ErrorClass.PERMANENT),
        (CLASSIC_TOKEN, -1, ErrorClass.TRANSIENT),
        (CLASSIC_TOKEN, 45009, ErrorClass.QUOTA),
        (CLASSIC_TOKEN, 40164, ErrorClass.OPERATOR),
        (JSAPI_TICKET, 48001, ErrorClass.OPERATOR),
        (CLASSIC_TOKEN, 123456789, ErrorClass.TRANSIENT),
    ],
)
async def test_an_errcode_is_a_refusal_of_its_class_at_that_place(kind, errcode, cls):
    body = {"errcode": errcode, "errmsg": f"invalid {SECRET} {HELD}"}
    with pytest.raises(RefusedError, match=f"^WeChat {errcode}: ") as caught:
        await Wechat(body).fetch(kind, parent="parent")
    assert (caught.value.errcode, caught.value.cls) == (errcode, cls)
    assert SECRET not in str(caught.value)
    assert HELD not in str(caught.value)


async def test_a_refusal_goes_before_a_value_beside_it():
    with pytest.raises(RefusedError):
        await Wechat(answer(errcode=40013)).fetch(CLASSIC_TOKEN)


@pytest.mark.parametrize("errmsg", [MISSING, None, 7, ["x"], {"a": 1}])
async def test_an_errmsg_that_is_no_text_is_left_out(errmsg):
    with pytest.raises(RefusedError, match=r"^WeChat 40013: "):
        await Wechat(answer(errcode=40013, errmsg=errmsg)).fetch(CLASSIC_TOKEN)


async def test_the_address_that_wechat_saw_is_told():
    errmsg = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 1-2-3"
    with pytest.raises(RefusedError, match=r"203\.0\.113\.7"):
        await Wechat({"errcode": 40164, "errmsg": errmsg}).fetch(CLASSIC_TOKEN)


# requests


@pytest.mark.parametrize("held", [HELD, None])
@pytest.mark.parametrize("reason", Reason)
async def test_the_old_endpoint_is_asked_once_whatever_the_reason(reason, held):
    tried = [DEAD] if reason.doubts and held else []
    wechat = Wechat(*tried, good())
    fetched = await wechat.fetch(CLASSIC_TOKEN, reason, held=held)
    query = {"grant_type": "client_credential", "appid": "wx01", "secret": SECRET}
    assert wechat.asked == [PROBE] * len(tried) + [("/cgi-bin/token", query, None)]
    assert (fetched.value, fetched.found) == (NEW, 40001 if tried else 0)


@pytest.mark.parametrize(
    "said", [{"ip_list": []}, {"errcode": -1}, {"errcode": 45009}, b"<html>", {"errcode": "40001"}], ids=ascii
)
async def test_the_old_endpoint_is_asked_whatever_the_trial_of_the_held_token_says(said):
    wechat = Wechat(said, good())
    fetched = await wechat.fetch(CLASSIC_TOKEN, Reason.REPORTED)
    assert (fetched.value, fetched.found, fetched.alive) == (NEW, 0, False)


async def test_a_refusal_of_the_old_endpoint_tells_that_the_held_token_was_dead():
    with pytest.raises(RefusedError) as caught:
        await Wechat(DEAD, {"errcode": 40125}).fetch(CLASSIC_TOKEN, Reason.FOUND)
    assert (caught.value.errcode, caught.value.found, caught.value.forced) == (40125, 40001, False)


async def test_a_ticket_is_asked_for_with_the_parents_token():
    wechat = Wechat(answer("ticket", errcode=0))
    await wechat.fetch(JSAPI_TICKET, parent=HELD)
    assert wechat.asked == [("/cgi-bin/ticket/getticket", {"access_token": HELD, "type": "jsapi"}, None)]


# the stable endpoint

NORMAL = ("/cgi-bin/stable_token", {}, {"grant_type": "client_credential", "appid": "wx01", "secret": SECRET})
FORCED = (*NORMAL[:2], NORMAL[2] | {"force_refresh": True})
PROBE = ("/cgi-bin/get_api_domain_ip", {"access_token": HELD}, None)
DEAD = {"errcode": 40001, "errmsg": "invalid credential, access_token is invalid or not latest"}


@pytest.mark.parametrize(
    ("reason", "held", "answers", "asked", "forced"),
    [
        (Reason.DUE, HELD, [good()], [NORMAL], False),
        (Reason.DUE, HELD, [good(HELD)], [NORMAL], False),
        (Reason.DUE, None, [good()], [NORMAL], False),
        (Reason.ASKED, HELD, [good()], [NORMAL], False),
        (Reason.ASKED, None, [good()], [NORMAL], False),
        (Reason.ASKED, HELD, [good(HELD), good()], [NORMAL, FORCED], True),
        (Reason.ASKED, HELD, [good(HELD), good(HELD)], [NORMAL, FORCED], True),
        (Reason.REPORTED, HELD, [DEAD, good()], [PROBE, NORMAL], False),
        (Reason.REPORTED, HELD, [DEAD, good(HELD), good()], [PROBE, NORMAL, FORCED], True),
        (Reason.REPORTED, None, [good()], [NORMAL], False),
    ],
)
async def test_the_stable_endpoint_is_forced_only_if_a_new_token_was_asked_for_and_the_same_came(
    reason, held, answers, asked, forced
):
    wechat = Wechat(*answers)
    fetched = await wechat.fetch(STABLE_TOKEN, reason, held=held)
    assert wechat.asked == asked
    assert (fetched.value, fetched.forced, fetched.alive) == (answers[-1]["access_token"], forced, False)


@pytest.mark.parametrize("errcode", [0, None, 48001, 45009, 40164])
async def test_a_token_that_was_reported_but_works_is_alive_and_nothing_is_fetched(errcode):
    wechat = Wechat({"ip_list": ["203.0.113.7"]} if errcode is None else {"errcode": errcode})
    fetched = await wechat.fetch(STABLE_TOKEN, Reason.REPORTED)
    assert wechat.asked == [PROBE]
    assert (fetched.value, fetched.alive, fetched.forced) == (HELD, True, False)


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
async def test_a_token_that_wechat_calls_dead_is_dead(errcode):
    wechat = Wechat({"errcode": errcode}, good())
    assert (await wechat.fetch(STABLE_TOKEN, Reason.REPORTED)).value == NEW


@pytest.mark.parametrize("errcode", [-1, 123456789])
async def test_a_probe_that_tells_nothing_forces_nothing_and_calls_nothing_alive(errcode):
    wechat = Wechat({"errcode": errcode})
    with pytest.raises(RefusedError) as caught:
        await wechat.fetch(STABLE_TOKEN, Reason.REPORTED)
    assert (caught.value.errcode, caught.value.cls) == (errcode, ErrorClass.TRANSIENT)
    assert wechat.asked == [PROBE]


async def test_a_probe_without_a_usable_answer_fails_the_fetch():
    wechat = Wechat(b"<html>")
    with pytest.raises(UpstreamError):
        await wechat.fetch(STABLE_TOKEN, Reason.REPORTED)


async def test_a_forced_call_that_is_refused_fails_the_fetch():
    wechat = Wechat(good(HELD), {"errcode": 45009, "errmsg": "reach max api daily quota limit"})
    with pytest.raises(RefusedError):
        await wechat.fetch(STABLE_TOKEN, Reason.ASKED)


def test_no_repr_shows_a_value():
    ask = Ask(ACCOUNT, Reason.ASKED, held="s3cret-held", parent="s3cret-parent")
    fetched = Answer("s3cret-value", 7200, 0.0, state="s3cret-state")
    assert "s3cret" not in repr((ask, fetched))
    assert SECRET not in repr(
        (ask, STABLE_TOKEN.source.forced(ACCOUNT, ""), STABLE_TOKEN.source.probe("s3cret"))
    )
