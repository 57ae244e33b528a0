"""No secret of the whole run stands in anything that a process left behind, whatever provokes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PROGRAMS = str(Path(__file__).parent / "programs")
BACKENDS = ("asyncio", "trio")
PAGE = "https%3A%2F%2Fwww.example.com%2F"
READS = ("token/{}", "ticket/{}", f"js-config/{{}}?url={PAGE}")


@pytest.fixture
def accounts(wechat, vault):
    """Accounts of which each meets something else, with its secret in the URL where that can be."""
    accounts = {name: wechat.add(name, "token") for name in (*FAULTS, "echo")}
    accounts["hang"] |= {"timeout": 0.3}
    for name, fault in FAULTS.items():
        wechat.sandbox.fail(appid=accounts[name]["appid"], times=None, **fault)
    said = {"errcode": 40125, "errmsg": f"invalid appsecret {accounts['echo']['secret']} rid: 1-2-3"}
    wechat.sandbox.fail("body", appid=accounts["echo"]["appid"], times=None, body=said)
    password = vault.new("the password of a proxy", plain=True)
    for name, port in (("away", 1), ("odd", wechat.port)):
        accounts[name] = wechat.add(name, "token") | {"proxy": f"http://user:{password}@127.0.0.1:{port}"}
    accounts["good"] = wechat.add("good") | {"tickets": ["jsapi"]}
    accounts["spent"] = wechat.add("spent", "token") | {"daily_quota": 1}
    for endpoint in ("stable", "token"):
        wrong = {"secret": vault.new("a wrong secret")}
        accounts[f"wrong-{endpoint}"] = wechat.add(f"wrong-{endpoint}", endpoint) | wrong
    return accounts


FAULTS = {
    "reset": {"kind": "reset"},
    "lost": {"kind": "reset", "before": False},
    "half": {"kind": "half", "before": False},
    "hang": {"kind": "hang"},
    "html": {"kind": "status", "status": 500},
    "moved": {"kind": "status", "status": 302},
    "garbage": {"kind": "garbage"},
    "number": {"kind": "body", "body": {"access_token": 5, "expires_in": "soon"}},
}


def provoke(served, token):
    """Requests that are refused, with a token where none belongs; gives the answers."""
    page = {"origin": "https://evil.example"}
    yield served.client.request("DELETE", "/token/good")
    yield served.get("/token/good", headers=page)
    yield served.get("/token/good", headers={"x-forwarded-for": token})
    yield served.get("/ticket/good", headers={"host": token[:60]})
    yield served.get(f"/token/good?format={token}")
    yield served.get(f"/js-config/good?url={token}")
    yield served.get("/js-config/good", params={"access_token": token})
    yield served.put("/token/good", content=f"{token} {token}")
    yield served.put("/token/good", content=f'{{"access_token": ["{token}"]}}')
    yield served.put("/token/good", content=token * 40)
    yield served.get(f"/nothing/{token}")
    yield served.get(f"/token/{token}", headers=page)
    yield served.get("/health/live")
    yield served.get("/health/ready")


def ask(served, accounts, token):
    """What callers do in earnest, all at once; gives the answers that no value belongs in."""
    reads = [
        served.client.build_request("GET", f"/{read.format(name)}") for name in accounts for read in READS
    ]
    # The other accounts' refreshes would wait for WeChat longer than a test should.
    paths = [f"/token/{name}" for name in ("good", "spent", "echo", "wrong-token", "wrong-stable")]
    refreshes = [served.client.build_request("PUT", path, content=token) for path in paths]
    with ThreadPoolExecutor(len(reads)) as crowd:
        answers = [*crowd.map(served.client.send, reads + refreshes)]
    return [
        answer
        for answer in answers
        if answer.status_code != 200 or "signature" in answer.text or answer.request.method == "PUT"
    ]


def test_wxtoken_serve_tells_nothing_at_debug_level_whatever_goes_wrong(launch, wechat, accounts, vault):
    environ = {"PYTHONPATH": PROGRAMS, "PYTHONASYNCIODEBUG": "1"}
    argv = ("--access-log", "--log-level", "debug")
    served = launch.serve(accounts, *argv, prefix="/wx", hooks="loud:Hooks", app="loud:app", environ=environ)
    served.client.base_url = f"{served.url}/wx"
    token = served.get("/token/good").text
    assert wechat.sandbox.accepts(token)
    answers = [*provoke(served, token), *ask(served, accounts, token)]
    served.get(f"/token/good?format=json&access_token={token}", headers={"authorization": f"Bearer {token}"})
    served.get(f"/token/{token}")  # its answer says what the caller said
    wechat.sandbox.revoke(token)
    answers += [served.put("/token/good", content=token), served.put("/token/spent")]
    served.says("cannot save")
    assert served.end() == 0
    for answer in answers:
        vault.hear(f"the answer to {answer.request.method} {answer.request.url.path}", answer.text)
        vault.hear("its headers", repr(answer.headers.raw))
    statuses = {200, 400, 403, 404, 405, 413, 429, 502, 503, 504}
    assert statuses <= {answer.status_code for answer in answers}
    for line in ("cannot save TokenEvent", "cannot tell of ErrorEvent", "Traceback"):
        assert line in served.err
    for log in (served.err, (served.cwd / "all.log").read_text()):
        assert "DEBUG:httpcore.http11:send_request_headers" in log
    assert '"GET /wx/token/good HTTP/1.1" 200' in served.out
    assert vault.leaks() == []


def test_a_program_that_shows_all_it_has_and_crashes_shows_no_secret(launch, accounts, vault):
    config = launch.config(accounts)
    script = ("-X", "dev", "-W", "ignore", f"{PROGRAMS}/crash.py")
    begun = [launch.program(*script, backend, name=backend, CONFIG=config) for backend in BACKENDS]
    for program in begun:
        assert program.wait() == 1
        assert "the crash that is wanted" in program.err
        assert "thread 0x" in program.err
        for shown in ("Statistics(open=True", "TokenEvent(", "ErrorEvent(", "Account(name='good'", "Held("):
            assert shown in program.out
    assert vault.leaks() == []


WRONG = {
    "a space in it": 'secret = "{0} {0}"',
    "a number": "secret = 1{0}",
    "a list": 'secret = ["{0}"]',
    "a misspelt key": 'secert = "{0}"',
    "no quotes": "secret = {0}",
    "quotes that do not end": 'secret = "{0}',
    "a name of a variable": 'secret_env = "{0}"',
    "a name of a file": 'secret_file = "{0}"',
    "a store's password": 'secret = "-"\n[store]\nurl = "redis://:{0}@127.0.0.1"',
    "a proxy's password": 'secret = "-"\nproxy = "nothing://user:{0}@127.0.0.1"',
}


def test_a_wrong_configuration_is_told_without_the_secret_in_it(launch, wechat, vault):
    paths = []
    for what, line in WRONG.items():
        paths.append(launch.folder / f"{what.replace(' ', '-')}.toml")
        secret = vault.new(f"the secret with {what}", plain=True)
        paths[-1].write_text(f'[accounts.alpha]\nappid = "wx1"\n{line.format(secret)}\n')
    store = f"redis://:{vault.new('a password')}@127.0.0.1/0"
    secert = vault.new("a secret in a misspelt variable")
    argv = (f"{PROGRAMS}/wrong.py", *map(str, paths))
    program = launch.program(*argv, name="wrong", STORE=store, SECERT=secert)
    assert program.wait() == 0
    assert program.out.split() == ["2"] * (len(WRONG) + 2)
    assert program.err.count("\n") == len(WRONG) + 2, program.err
    assert vault.leaks() == []
