"""`wxtoken serve` and `wxtoken sandbox` as processes of their own."""

from __future__ import annotations

import os
import queue
import re
import signal
import stat
import subprocess
import sys
import threading

import httpx
import pytest

from support.secrets import value_shaped

GUARD_S = 60
SECRETS = ("not-to-be-shown", "sandbox-secret")


class Served:
    """A command that runs until it is told to end; what it prints is kept."""

    def __init__(self, *argv, cwd, **environ):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WXTOKEN_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wxtoken_asgi.command.cli", *argv],
            cwd=cwd, env=clean | environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.guard = threading.Timer(GUARD_S, self.process.kill)
        self.guard.start()
        self.err = ""
        self.listening = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.err += line
            found = re.search(r"listening on (http://\S+)", line)
            if found:
                self.listening.put(found[1])

    def lines(self, last):
        """The lines on stdout until one that holds `last`."""
        found = []
        for line in self.process.stdout:
            found.append(line.rstrip("\n"))
            if last in line:
                return found
        self.end(None)
        pytest.fail(f"ended too early: {found} {self.err}")

    def end(self, number=signal.SIGTERM, within=10):
        """Ends it; gives its exit code."""
        if number is not None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=within if number else GUARD_S)
        finally:
            self.process.kill()
            self.guard.cancel()
            self.reader.join()
            said = self.err + self.process.stdout.read()
            self.process.stdout.close()
            self.process.stderr.close()
            assert not value_shaped(said)
            assert not any(secret in said for secret in SECRETS)


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(*argv, **environ):
        running.append(Served(*argv, cwd=tmp_path, **environ))
        return running[-1]

    yield start
    for served in running:
        if served.process.poll() is None:
            served.end(signal.SIGKILL)


def urls(lines):
    """The addresses to try, by what they are for."""
    text = "\n".join(lines)
    found = {"put": re.search(r"curl -X PUT (http://\S+)", text)[1]}
    for name in ("token", "ticket", "js-config", "ready", "calls"):
        match = re.search(rf"curl '?(http://[^' ]+/{name}[^' \n]*)", text)
        found |= {name: match[1]} if match else {}
    return found


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, timeout=20) as client:
        yield client


def test_serve_with_a_sandbox_answers_all_that_it_says_and_ends_with_0(serve, client):
    served = serve("serve", "--sandbox", "--port", "0", "--prefix", "/wx")
    found = urls(served.lines("/sandbox/calls"))
    assert found["token"].endswith("/wx/token/alpha")
    answer = client.get(found["token"])
    token = answer.text
    assert answer.headers["content-type"] == "text/plain"
    assert "server" not in answer.headers
    assert re.fullmatch(r"[\w-]{100,}", token)
    assert re.fullmatch(r"[\w-]{86}", client.get(found["ticket"]).text)
    assert client.get(found["js-config"]).json()["url"] == "https://www.example.com/"
    assert client.get(found["ready"]).status_code == 200
    assert client.put(found["put"]).json() == {"message": "ok"}
    assert client.get(found["token"]).text != token
    assert client.get(found["calls"]).status_code == 200
    assert served.end() == 0
    assert token not in served.err
    assert "Traceback" not in served.err


def test_serve_with_two_workers_has_one_sandbox_and_one_store_and_ends_with_0(serve, tmp_path, state):
    (tmp_path / "tmp").mkdir()
    served = serve("serve", "--sandbox", "--port", "0", "--workers", "2", TMPDIR=str(tmp_path / "tmp"))
    found = urls(served.lines("/sandbox/calls"))
    beta = found["token"].replace("alpha", "beta")
    assert re.fullmatch(r"[\w-]{100,}", fresh(found["token"]).text)
    assert len({fresh(beta).text for _ in range(20)}) == 1
    assert sum(fresh(found["calls"]).json()["/cgi-bin/token"].values()) == 1
    assert list((tmp_path / "tmp").glob("wxtoken-*/tokens.db"))
    assert served.end() == 0
    assert served.err.count("Application startup complete") == 2
    assert "store" not in served.err
    assert "Traceback" not in served.err
    assert not list((tmp_path / "tmp").glob("wxtoken-*")), "the sandbox's store is gone"
    assert not state.exists()


def fresh(url):
    """Asks over a connection of its own, which any worker may take."""
    return httpx.get(url, trust_env=False, timeout=20)


SHOP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.%s"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the shop"})
"""


def test_serve_wraps_an_app_as_its_guest(serve, client, tmp_path):
    (tmp_path / "guest_shop.py").write_text(SHOP % "complete")
    served = serve("serve", "--sandbox", "--port", "0", "--app", "guest_shop:app")
    found = urls(served.lines("/sandbox/calls"))
    assert "ready" not in found
    assert client.get(found["token"]).headers["content-type"] == "text/plain"
    assert client.get(found["token"].replace("/token/alpha", "/health/ready")).text == "the shop"
    assert served.end(signal.SIGINT) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_ends_with_1_if_the_app_refuses_to_start(serve, tmp_path, workers):
    (tmp_path / "closed_shop.py").write_text(SHOP % "failed")
    served = serve("serve", "--sandbox", "--port", "0", "--app", "closed_shop:app", "--workers", workers)
    assert served.end(None) == 1


def test_the_access_log_holds_paths_and_the_url_of_a_js_config(serve, client, tmp_path):
    served = serve("serve", "--sandbox", "--port", "0", "--access-log")
    found = urls(served.lines("/sandbox/calls"))
    client.get(found["token"] + "?format=json&access_token=not-to-be-shown")
    client.get(found["js-config"])
    out = "\n".join(served.lines("js-config"))
    assert served.end() == 0
    assert '"GET /token/alpha HTTP/1.1" 200' in out
    assert "/js-config/alpha?url=https%3A%2F%2Fwww.example.com%2F HTTP" in out
    assert "not-to-be-shown" not in out + served.err
    assert "/cgi-bin/" not in out + served.err


def test_a_configured_account_meets_the_sandbox_and_not_its_configured_store(serve, client, tmp_path):
    (tmp_path / "wx.toml").write_text(
        'store = "sqlite:///nowhere/db"\n[accounts.gamma]\nappid = "wx00000000000000c3"\n'
        'secret = "not-to-be-shown"\nendpoint = "token"\nproxy = "http://127.0.0.1:1"'
    )
    served = serve("serve", "--sandbox", "--port", "0", WXTOKEN_CONFIG="wx.toml")
    found = urls(served.lines("/sandbox/calls"))
    assert client.get(found["token"]).status_code == 200
    assert found["token"].endswith("/token/gamma")
    assert served.end() == 0
    assert "not-to-be-shown" not in served.err


def test_a_token_is_read_from_the_running_server(serve, client, tmp_path):
    served = serve("serve", "--sandbox", "--port", "0")
    found = urls(served.lines("/sandbox/calls"))
    server = found["token"].removesuffix("/token/alpha")
    asked = serve("token", "alpha", "--server", server)
    assert asked.lines("_") == [client.get(found["token"]).text]
    assert asked.end(None) == 0
    assert served.end() == 0


def test_the_sandbox_alone_answers_as_wechat_does(serve, client):
    served = serve("sandbox", "--port", "0")
    lines = served.lines("/sandbox/calls")
    url = re.search(r"'(http://\S+)'", "\n".join(lines))[1]
    assert client.get(url).json()["expires_in"] == 7200
    assert served.end() == 0


def test_a_token_of_the_old_endpoint_outlives_its_server_in_the_user_s_state(serve, client, state, tmp_path):
    sandbox = serve("sandbox", "--port", "0")
    wechat = re.search(r"'(http://[^/]+)", "\n".join(sandbox.lines("/sandbox/calls")))[1]
    (tmp_path / "wx.toml").write_text(
        f'api_base = "{wechat}"\nport = 0\n[accounts.gamma]\nappid = "wx00000000000000c3"\n'
        'secret = "not-to-be-shown"\nendpoint = "token"\n'
    )
    tokens = set()
    for _ in range(2):
        served = serve("serve", "--config", "wx.toml")
        tokens.add(client.get(served.listening.get(timeout=GUARD_S) + "/token/gamma").text)
        assert served.end() == 0
    assert len(tokens) == 1
    asked = serve("token", "gamma", "--config", "wx.toml")
    assert asked.lines("_") == list(tokens)
    assert asked.end(None) == 0
    assert client.get(f"{wechat}/sandbox/calls").json() == {"/cgi-bin/token": {"0": 1}}
    file = state / "wxtoken" / "tokens.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert b"not-to-be-shown" not in file.read_bytes()
    assert sandbox.end() == 0


def test_a_redis_that_is_away_stops_nothing_and_its_password_is_nowhere(serve, client, tmp_path):
    (tmp_path / "store").write_text("redis://center:not-to-be-shown@127.0.0.1:1/0\n")
    (tmp_path / "wx.toml").write_text(
        'store_file = "store"\n[accounts.gamma]\nappid = "wx01"\nsecret = "s"\napi_base = "http://127.0.0.1:1"'
    )
    served = serve("serve", "--config", "wx.toml", "--port", "0", "--log-level", "debug")
    address = served.listening.get(timeout=GUARD_S)
    assert client.get(address + "/health/live").status_code == 200
    assert client.get(address + "/token/gamma").status_code == 503
    assert served.end() == 0
    assert "store" in served.err


def test_in_a_pod_one_line_names_the_store_whatever_the_number_of_workers(serve, client):
    served = serve("serve", "--sandbox", "--port", "0", "--workers", "2", KUBERNETES_SERVICE_HOST="10.0.0.1")
    urls(served.lines("/sandbox/calls"))
    assert served.end() == 0
    assert served.err.count("store: this is Kubernetes") == 1


def test_serve_without_a_sandbox_says_where_it_listens(serve, client, tmp_path):
    (tmp_path / "key").write_text("not-to-be-shown\n")
    (tmp_path / "wx.toml").write_text(
        'prefix = "/wx"\n[accounts.gamma]\nappid = "wx01"\nsecret_file = "key"\n'
        'api_base = "http://127.0.0.1:1"'
    )
    served = serve("serve", "--config", "wx.toml", "--port", "0")
    address = served.listening.get(timeout=GUARD_S)
    assert address.endswith("/wx")
    assert client.get(address + "/health/live").status_code == 200
    assert served.end() == 0
    assert "not-to-be-shown" not in served.err


def test_a_wrong_configuration_ends_the_process_with_2_and_one_line(serve):
    served = serve("serve", "--config", "nope.toml")
    assert served.end(None) == 2
    assert served.err == "wxtoken: nope.toml: cannot be read: No such file or directory\n"
