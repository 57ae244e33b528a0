"""`wxtoken serve` whose configuration changes while callers read all the time."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from support.launcher import Launcher, wechat_server
from support.secrets import Vault
from support.servers import wait_until

RELOADED = "the configuration was reloaded"
STAYS = "the configuration before stays in force"
NEVER = 0

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")


@pytest.fixture(scope="module")
def vault():
    vault = Vault()
    yield vault
    leaks = vault.leaks()
    assert not leaks, "\n".join(map(str, leaks))


@pytest.fixture
def wechat(vault):
    with wechat_server(vault) as server:
        server.add("shop")
        server.add("news", endpoint="token")
        yield server


@pytest.fixture
def center(tmp_path, vault, wechat):
    """Starts `wxtoken serve` whose secret of `shop` lies in a mount as Kubernetes makes them."""
    with Launcher(tmp_path, vault) as launcher:
        yield Center(launcher, wechat, vault)


class Center:
    def __init__(self, launcher, wechat, vault):
        self.launcher, self.wechat, self.vault = launcher, wechat, vault
        self.folder = launcher.folder
        self.mount = self.folder / "mount"
        self.number = 0
        self.put_secret(wechat.accounts["shop"]["secret"])

    def put_secret(self, secret):
        """Swaps the mount's directory, as the kubelet does."""
        self.number += 1
        data = self.mount / f"..{self.number}"
        data.mkdir(parents=True)
        (data / "shop").write_text(secret + "\n")
        (self.mount / "..new").symlink_to(data.name)
        (self.mount / "..new").rename(self.mount / "..data")
        if not (self.mount / "shop").is_symlink():
            (self.mount / "shop").symlink_to("..data/shop")

    def start(self, *argv, workers=1, watch_every=NEVER):
        shop = self.wechat.accounts["shop"]
        table = {name: shop[name] for name in ("appid", "endpoint", "api_base")}
        self.service = self.launcher.serve(
            {"shop": table | {"secret_file": str(self.mount / "shop")}},
            "--workers", str(workers), *argv,
            store=f"sqlite://{self.folder}/tokens.db", include=["more/*.toml"], watch_every=watch_every,
        )  # fmt: skip
        assert self.service.get("/token/shop").status_code == 200
        [self.config] = self.folder.glob("wx-*.toml")
        return self.service

    def include(self, text):
        (self.folder / "more").mkdir(exist_ok=True)
        (self.folder / "more" / "news.toml").write_text(text)

    def news(self):
        table = self.wechat.accounts["news"]
        return "[accounts.news]\n" + "".join(f'{name} = "{value}"\n' for name, value in table.items())

    def reset_secret(self):
        """The owner resets the secret at WeChat; the old one is wrong from now on."""
        secret = self.vault.new("a later secret of shop")
        self.wechat.sandbox.reset_secret(self.wechat.accounts["shop"]["appid"], secret)
        return secret

    def says(self, text, times=1):
        wait_until(lambda: self.service.err.count(text) >= times, f"{times} x {text!r}: {self.service.err}")

    @contextmanager
    def readers(self, path="/token/shop", count=3):
        """Reads all the time; whatever is no good token is an error at the end."""
        stop, wrong, good = threading.Event(), [], []

        def read():
            with httpx.Client(trust_env=False, timeout=20) as client:
                while not stop.is_set():
                    answer = client.get(f"{self.service.url}{path}")
                    if answer.status_code != 200 or not self.wechat.sandbox.accepts(answer.text):
                        wrong.append((answer.status_code, answer.text[:60]))
                    else:
                        good.append(answer.text)
                    time.sleep(0.003)

        threads = [threading.Thread(target=read) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield good
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not wrong
        assert len(good) >= 3


@pytest.mark.parametrize(
    ("way", "workers"), [("signal", 1), ("signal", 2), ("file", 2), ("mount", 1)], ids=str
)
def test_a_secret_is_rotated_without_a_moment_without_a_token(center, way, workers):
    service = center.start(workers=workers, watch_every=NEVER if way == "signal" else 0.3)
    with center.readers() as tokens:
        wait_until(lambda: tokens, "the readers have a token")
        secret = center.reset_secret()
        if way == "mount":
            center.put_secret(secret)
        else:
            (center.mount / "shop").resolve().write_text(secret)
        if way == "signal":
            service.signal(signal.SIGHUP)
        center.says(RELOADED, workers)
        assert service.put("/token/shop").json() == {"message": "ok"}
        newest = service.get("/token/shop").text
        wait_until(lambda: tokens[-1] == newest, "the readers have the new token")
        time.sleep(0.2)
    assert len(set(tokens)) == 2
    assert service.end() == 0
    assert "Traceback" not in service.err
    assert service.err.count("Started server process") == workers, "no worker was replaced"


def test_a_refused_secret_is_looked_for_at_once(center):
    service = center.start(watch_every=3600)
    center.put_secret(center.reset_secret())
    assert service.put("/token/shop").json()["errcode"] == 40125
    center.says(RELOADED)
    assert service.put("/token/shop").status_code == 200
    assert service.end() == 0


def test_with_watch_every_0_no_worker_reloads_by_itself_when_a_secret_is_refused(center):
    """It would serve other accounts than its siblings from then on."""
    service = center.start(workers=2)
    center.include(center.news())
    center.put_secret(center.reset_secret())
    assert service.put("/token/shop").json()["errcode"] == 40125
    time.sleep(1)
    assert {fresh(service, "/token/news").status_code for _ in range(20)} == {404}
    assert RELOADED not in service.err
    service.signal(signal.SIGHUP)
    center.says(RELOADED, 2)
    assert {fresh(service, "/token/news").status_code for _ in range(20)} == {200}
    assert service.put("/token/shop").status_code == 200
    assert service.end() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_reload_is_one_line_and_changes_nothing_even_when_a_worker_dies(center, workers):
    service = center.start(workers=workers)
    good = center.config.read_text()
    with center.readers(count=1):
        center.config.write_text(good + "endpoint = \n")
        service.signal(signal.SIGHUP)
        center.says(STAYS)
        center.config.write_text(good.replace("watch_every = 0", "watch_every = 0\nprefx = 1"))
        service.signal(signal.SIGHUP)
        center.says(STAYS, 2)
        time.sleep(0.3)
    lines = [line for line in service.err.splitlines() if STAYS in line]
    assert len(lines) == 2
    assert f"{center.config}: no TOML: " in lines[0]
    assert f"{center.config}: prefx is no setting; did you mean prefix?" in lines[1]
    if workers == 2:
        victim = re.search(r"Started server process \[(\d+)\]", service.err)[1]
        os.kill(int(victim), signal.SIGKILL)
        center.says("Started server process", 3)
        center.says("Application startup complete", 3)
        assert all(fresh(service, "/token/shop").status_code == 200 for _ in range(20))
        assert service.process.poll() is None
    center.config.write_text(
        good.replace("watch_every = 0", 'watch_every = 0\nnamespace = "b"\ntrusted = []')
    )
    service.signal(signal.SIGHUP)
    center.says(RELOADED, workers)
    assert fresh(service, "/token/shop").status_code == 403
    center.says("the configuration: namespace will change at the next restart")
    assert service.end() == 0


def fresh(service, path):
    """Asks over a connection of its own, which any worker may take."""
    return httpx.get(service.url + path, trust_env=False, timeout=20)


def test_accounts_come_and_go_at_a_signal(center):
    service = center.start(workers=2)
    with center.readers():
        assert service.get("/token/news").status_code == 404
        center.include(center.news())
        service.signal(signal.SIGHUP)
        center.says(RELOADED, 2)
        assert all(center.wechat.sandbox.accepts(fresh(service, "/token/news").text) for _ in range(20))
        assert center.wechat.fetches("news") == 1
        center.include("")
        service.signal(signal.SIGHUP)
        center.says(RELOADED, 4)
        assert {fresh(service, "/token/news").status_code for _ in range(20)} == {404}
    assert service.end() == 0


def test_a_half_written_file_takes_nothing_away(center):
    """The first half of it is a good file, and the accounts of the second half are missing there."""
    center.include(center.news())
    service = center.start(watch_every=0.1)
    assert service.get("/token/news").status_code == 200
    whole = center.config.read_text()
    with center.readers("/token/news", count=1):
        center.config.write_text(whole[: whole.index("[accounts.shop]")])
        time.sleep(0.25)
        center.config.write_text(whole + "daily_quota = 1000\n")
        center.says(RELOADED)
    with center.readers(count=1):
        time.sleep(0.3)
    assert service.err.count(RELOADED) == 1
    assert service.end() == 0


def test_a_signal_that_comes_too_early_or_too_late_ends_nothing(center):
    service = center.start()
    service.signal(signal.SIGTERM)
    for _ in range(20):
        service.signal(signal.SIGHUP)
        time.sleep(0.005)
    assert service.wait(20) == 0
    early = center.launcher.program(
        "-m", "wxtoken_asgi.command.cli", "serve", "--config", str(center.config), "--port", "0"
    )
    early.says("listening on")
    for _ in range(10):
        early.signal(signal.SIGHUP)
    early.says(RELOADED)
    assert early.end() == 0
