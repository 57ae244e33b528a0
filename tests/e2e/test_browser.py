"""A real browser: a page of another origin gets its signed configuration, and no token."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.launcher import Launcher, wechat_server

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
RULES = "--host-resolver-rules=MAP *.example 127.0.0.1"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)")

# What a curious page would try; each line of its result is an outcome, never a value.
SCRIPT = """
const base = BASE, page = location.href.split('#')[0], out = {};
const read = async (path, options) => {
  try {
    const answer = await fetch(base + path, options);
    return [answer.type, answer.status, await answer.text()];
  } catch (error) { return [error.name]; }
};
const load = (tag, where) => new Promise(done => {
  const element = document.createElement(tag);
  element.onload = () => done('load');
  element.onerror = () => done('error');
  element[where] = base + '/token/alpha';
  document.body.append(element);
});
const frame = async () => {
  const event = await load('iframe', 'src');
  const inside = document.querySelector('iframe');
  try { return inside.contentDocument ? inside.contentDocument.body.textContent : null; }
  catch (error) { return error.name; }
};
const socket = () => new Promise(done => {
  const opened = new WebSocket(base.replace('http', 'ws') + '/token/alpha');
  opened.onopen = () => done('open');
  opened.onerror = () => done('error');
});
(async () => {
  out.page = page;
  out.config = await read('/js-config/alpha?url=' + encodeURIComponent(page));
  out.barred = await read('/js-config/beta?url=' + encodeURIComponent(page));
  for (const word of ['token', 'ticket']) {
    out[word] = await read('/' + word + '/alpha');
    out[word + ' no-cors'] = await read('/' + word + '/alpha', {mode: 'no-cors'});
  }
  out.put = await read('/token/alpha', {method: 'PUT', body: ''});
  out.post = await read('/token/alpha', {method: 'POST', mode: 'no-cors', body: 'x'});
  out.script = await load('script', 'src');
  out.image = await load('img', 'src');
  out.frame = await frame();
  out.socket = await socket();
  const shown = document.createElement('pre');
  shown.textContent = out.config[2];
  document.body.append(shown);
  out.shown = shown.outerHTML;
  await fetch('/out', {method: 'POST', body: JSON.stringify(out)});
})();
"""


class Page(BaseHTTPRequestHandler):
    """Every path is a page with the server's script; what that script has found is posted back."""

    def do_GET(self):
        self._answer(f"<!doctype html><title>shop</title><body><script>{self.server.script}</script>")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self._answer("")
        self.server.found.put(json.loads(body))

    def _answer(self, text):
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def pages():
    """A server of pages on an origin of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.found = queue.Queue()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def chromium(tmp_path):
    """Begin to show a page in a new, empty profile."""
    with ExitStack() as stack:

        def begin(*argv):
            command = [CHROMIUM, *FLAGS, RULES, f"--user-data-dir={tmp_path / 'profile'}", *argv]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
            )
            stack.callback(process.communicate)
            stack.callback(end, process)
            return process

        yield begin


def end(process):
    """A browser is many processes, all in one group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def dom(chromium):
    """The DOM of a page as chromium shows it."""
    return lambda url: chromium("--dump-dom", url).communicate(timeout=30)[0]


@pytest.fixture(scope="module")
def wechat(vault):
    with wechat_server(vault) as server:
        server.add("alpha")
        server.add("beta")
        yield server


@pytest.fixture(scope="module")
def served(vault, wechat, tmp_path_factory):
    accounts = wechat.accounts | {"beta": wechat.accounts["beta"] | {"js_domains": ["www.example.com"]}}
    with Launcher(tmp_path_factory.mktemp("browser"), vault) as launcher:
        served = launcher.serve(accounts)
        served.values = [served.get(f"/{word}/alpha").text for word in ("token", "ticket")]
        yield served


def recomputed(config, ticket):
    signed = (ticket, config["nonceStr"], config["timestamp"], config["url"])
    text = "jsapi_ticket={}&noncestr={}&timestamp={}&url={}".format(*signed)
    return hashlib.sha1(text.encode()).hexdigest()


def test_a_page_of_another_origin_gets_a_configuration_and_nothing_else(served, pages, chromium, wechat):
    pages.script = SCRIPT.replace("BASE", json.dumps(served.url))
    calls = wechat.fetches()
    chromium(f"http://shop.example:{pages.server_port}/路/x%20y?a=1&b=%E4%BD%A0&from=singlemessage#part")
    out = pages.found.get(timeout=30)
    token, ticket = served.values

    kind, status, body = out["config"]
    config = json.loads(body)
    assert (kind, status) == ("cors", 200)
    assert config["url"] == out["page"]
    assert config["signature"] in out["shown"]
    assert config["appId"] == wechat.accounts["alpha"]["appid"]
    assert config["signature"] == recomputed(config, ticket)
    sign = {
        "noncestr": config["nonceStr"],
        "timestamp": config["timestamp"],
        "signature": config["signature"],
    }
    assert wechat.sandbox.accepts_signature(config["appId"], url=out["page"], **sign)

    assert out["barred"] == out["token"] == out["ticket"] == out["put"] == ["TypeError"]
    opaque = ["opaque", 0, ""]
    assert out["token no-cors"] == out["ticket no-cors"] == out["post"] == opaque
    assert out["script"] == out["image"] == out["socket"] == "error"
    assert out["frame"] is None
    assert token not in json.dumps(out)
    assert ticket not in json.dumps(out)
    assert wechat.fetches() == calls
    for reason in ("an Origin", "a Sec-Fetch-Site other than none"):
        assert f"refused: peer 127.0.0.1 sent {reason}" in served.err


def test_a_name_that_was_rebound_to_this_machine_reads_nothing(served, dom):
    shown = dom(f"http://rebound.example:{served.port}/token/alpha")
    assert "not allowed from here" in shown
    assert served.values[0] not in shown
    assert "sent a Host that is no loopback address" in served.err


def test_a_person_at_this_machine_may_look_at_it(served, dom):
    assert served.values[0] in dom(f"{served.url}/token/alpha")
