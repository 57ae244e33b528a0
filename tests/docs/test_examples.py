"""Each example starts, answers and stops, on a sandbox."""

from __future__ import annotations

import re
from urllib.parse import quote

import anyio
import pytest
from docs_pages import DOCS
from docs_wechat import answers, served

EXAMPLES = DOCS / "examples"
ROWS = [
    ("starlette_app.py", "/wx/token/shop", "/menu", "token_length"),
    ("fastapi_app.py", "/wx/token/shop", "/menu", "token_length"),
    ("quart_app.py", "/wx/token/shop", "/", "the shop"),
    ("django_app.py", "/wx/token/shop", "/menu", "token_length"),
    ("litestar_app.py", "/wx/token/shop", "/menu", "token_length"),
    ("bare_asgi.py", "/token/shop", "/", "the shop"),
    ("hooks.py", "/token/shop", "/health/live", "ok"),
    ("js_sdk_page.py", "/token/shop", "/", "wx.config"),
]
ASYNCIO_ONLY = {"quart_app.py", "django_app.py"}


def test_every_example_is_run_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {row[0] for row in ROWS} | {"script.py"}


@pytest.mark.parametrize(
    ("backend", "row"),
    [("asyncio", row) for row in ROWS] + [("trio", row) for row in ROWS if row[0] not in ASYNCIO_ONLY],
    ids=str,
)
def test_an_example_serves_tokens_and_its_own_app(play, backend, row):
    file, token_path, app_path, said = row
    app = play.load(EXAMPLES / file)["app"]
    token, own = anyio.run(answers, app, token_path, app_path, backend=backend)
    assert play.sandbox.accepts(token.text)
    assert own.status_code == 200
    assert said in own.text
    assert play.sandbox.count("/cgi-bin/stable_token") == 1


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_complete_in_few_lines(path):
    text = path.read_text(encoding="utf-8")
    assert 15 <= len(text.splitlines()) <= 40
    assert 'os.environ["WX_APPID"]' in text
    assert re.search(rf"Run it: (uvicorn {path.stem}:app --no-proxy-headers|python {path.name})", text)


def test_the_script_prints_what_it_fetched_but_no_token(play, capsys):
    play.load(EXAMPLES / "script.py")
    said = capsys.readouterr().out
    assert "signed https://www.example.com/page?from=share\n" in said
    assert "shop access_token fresh\n" in said
    assert "shop jsapi_ticket fresh\n" in said
    assert not re.search(r"[\w-]{60,}", said)


def test_the_script_ends_with_one_line_if_wechat_refuses(play, monkeypatch):
    monkeypatch.setenv("WX_SECRET", "wrong-secret")
    with pytest.raises(SystemExit, match=r"40125.*AppSecret"):
        play.load(EXAMPLES / "script.py")


def test_the_hooks_hear_of_token_ticket_and_errors(play, caplog):
    names = play.load(EXAMPLES / "hooks.py")

    async def scene():
        async with served(names["app"]) as client:
            await client.get("/ticket/shop")
            play.sandbox.fail(errcode=-1, times=None)
            assert (await client.put("/token/shop")).status_code == 503

    anyio.run(scene)
    assert {kind for _, kind in names["newest"]} == {"access_token", "jsapi_ticket"}
    errors = [record.message for record in caplog.records if record.name == "shop"]
    assert any(text.startswith("access_token of shop: ") for text in errors)


def test_the_page_asks_for_a_signature_that_wechat_takes(play):
    app = play.load(EXAMPLES / "js_sdk_page.py")["app"]
    page = (EXAMPLES / "js_sdk_page.html").read_text(encoding="utf-8")
    asked = re.search(r"fetch\('([^']+)' \+ encodeURIComponent\(page\)\)", page)[1]
    assert "location.href.split('#')[0]" in page
    url = "https://www.example.com/a?from=singlemessage&x=%E4%B8%AD"

    async def scene():
        async with served(app) as client:
            good = await client.get(asked + quote(url, safe=""))
            foreign = await client.get(asked + quote("https://evil.example/", safe=""))
            return good.json(), foreign

    config, foreign = anyio.run(scene)
    assert config["url"] == url
    assert play.sandbox.accepts_signature(
        config["appId"],
        url=url,
        noncestr=config["nonceStr"],
        timestamp=config["timestamp"],
        signature=config["signature"],
    )
    assert all(f"config.{key}" in page for key in set(config) - {"url"})
    assert foreign.status_code == 403
