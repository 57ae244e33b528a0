"""The parts of `wxtoken serve` that need no process of their own."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from types import ModuleType

import pytest
from uvicorn.supervisors.multiprocess import SIGNALS

from wxtoken_asgi.command import serve, starting
from wxtoken_asgi.command.doors import Doors
from wxtoken_asgi.command.order import Order
from wxtoken_asgi.config import Config
from wxtoken_asgi.records import Account
from wxtoken_asgi.surroundings import HANDED_DOWN


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in os.environ if name.startswith("WXTOKEN_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def signals():
    """Notes the signals that come instead of ending the process."""
    seen = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda number, _: seen.append(number))
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def handed(monkeypatch):
    monkeypatch.setenv("WXTOKEN_STORE", "memory:")
    monkeypatch.setenv(HANDED_DOWN, json.dumps({"sandbox": "http://127.0.0.1:1", "flags": {"prefix": "/wx"}}))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_readiness_goes_red_with_the_signal_and_the_server_s_own_handler_runs(signals, handed, number):
    app = serve.create_app()
    assert app.tokens.draining is False
    signal.raise_signal(number)
    assert app.tokens.draining is True
    assert signals == [number]


def test_a_signal_that_is_left_to_the_system_stays_with_it(signals, handed):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve.create_app()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_in_a_thread_the_app_is_built_without_touching_signals(signals, handed):
    before = signal.getsignal(signal.SIGTERM)
    built = []
    thread = threading.Thread(target=lambda: built.append(serve.create_app()))
    thread.start()
    thread.join()
    assert [account.name for account in built[0].tokens.accounts] == ["alpha", "beta"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_that_has_two_doors_serves_both(signals, handed):
    app = serve.create_app(None, 8001)
    assert (type(app), app.port, app.service.tokens.draining) == (Doors, 8001, False)


def test_a_configuration_that_went_wrong_ends_the_worker_for_good(caplog, monkeypatch):
    monkeypatch.setenv(HANDED_DOWN, json.dumps({"path": "gone.toml"}))
    with pytest.raises(SystemExit) as ended, caplog.at_level(logging.ERROR, "wxtoken_asgi"):
        serve.create_app()
    assert ended.value.code == 3
    (record,) = caplog.records
    assert record.getMessage() == "gone.toml: cannot be read: No such file or directory"
    assert record.exc_info is None


def test_a_configuration_that_went_wrong_meanwhile_is_served_as_the_parent_found_it(
    caplog, monkeypatch, tmp_path
):
    account = Account("alpha", "wx01", "s")
    monkeypatch.setenv(HANDED_DOWN, json.dumps({"path": "gone.toml"}))
    last = Config(store="memory:", accounts=(account,), workers=2)
    app = pickle.loads(pickle.dumps(partial(serve.create_app, last)))()
    assert list(app.tokens.accounts) == [account]
    assert "gone.toml: cannot be read" in caplog.text
    assert "the configuration before stays in force" in caplog.text


class FakeWorker:
    def __init__(self, pid):
        self.pid = pid


@pytest.fixture
def supervisor(monkeypatch, tmp_path):
    """A supervisor of two workers that do not run; and the processes that it has sent SIGHUP."""
    (tmp_path / "wx.toml").write_text('[accounts.alpha]\nappid = "wx01"\nsecret = "s"\n')
    before = {number: signal.getsignal(number) for number in SIGNALS}
    live = serve.in_parent(Order("wx.toml", {"workers": 2, "store": "memory:"}))
    socks = serve.listen_all(Config(port=0, js_config_port=0))
    supervisor = serve.Supervisor(serve._options(None, workers=2), socks, live)
    told = []
    monkeypatch.setattr(serve, "pass_on", told.append)
    monkeypatch.setattr(serve.Multiprocess, "keep_subprocess_alive", lambda _: None)
    supervisor.processes = [FakeWorker(1), FakeWorker(2)]
    yield supervisor, told
    for sock in socks:
        sock.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_supervisor_tells_its_workers_of_a_configuration_that_is_right_and_of_no_other(
    supervisor, caplog, tmp_path
):
    supervisor, told = supervisor
    (tmp_path / "wx.toml").write_text('[accounts.alpha]\nappid = "wx01"\nsecret = "s"\nendpoint = "token"')
    supervisor.handle_hup()
    (tmp_path / "wx.toml").write_text('trusted = ["x"]\n[accounts.alpha]\nappid = "wx01"\nsecret = "s"\n')
    supervisor.handle_hup()
    assert told == []
    lines = [record.getMessage() for record in caplog.records]
    assert [line.count("; the configuration before stays in force") for line in lines] == [1, 1]
    assert "account alpha: endpoint 'token' with 2 workers" in lines[0]
    assert "trusted: 'x' is no address" in lines[1]
    (tmp_path / "wx.toml").write_text('[accounts.beta]\nappid = "wx01"\nsecret = "s"\n')
    supervisor.handle_hup()
    assert told == [1, 2]
    config, narrow = supervisor.config.app.args
    assert [account.name for account in config.accounts] == ["beta"]
    assert narrow == supervisor.sockets[1].getsockname()[1]


GOOD = '[accounts.alpha]\nappid = "wx01"\nsecret = "s"\n'
MODULES = {
    "ahead_crash": "raise RuntimeError('not with\\nthis')",
    "ahead_leave": "import sys; sys.exit('no')",
    "ahead_silent": "import os; os._exit(0)",
    "ahead_hang": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)",
}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('hooks = "nope:x"', "hooks: there is no module 'nope' (looked for from "),
        ('hooks = "os:path"', "hooks: os:path needs a function on_token, on_ticket or on_error"),
        ('app = "nope.main:app"', "app: there is no module 'nope.main'"),
        ('app = "os:name"', "app: os:name is no ASGI app: it cannot be called"),
        ('app = "ahead_crash:app"', "hooks or app: an import ends with RuntimeError: not with this"),
        ('hooks = "ahead_leave:app"', "hooks or app: an import ends with SystemExit: no"),
        ('app = "ahead_silent:app"', "a start was tried with it in a process of its own, which hung or"),
        ('app = "ahead_hang:app"', "a start was tried with it in a process of its own, which hung or"),
        ('store = "foo://not-to-be-shown"', "wx.toml: store: 'foo' is no store that this version knows"),
        ('audit_log = "/nonexistent/x"', "audit_log: cannot write /nonexistent/x: No such file"),
    ],
)
def test_what_the_next_start_would_refuse_is_refused_now(supervisor, caplog, monkeypatch, line, message):
    supervisor, told = supervisor
    if line.startswith("store"):
        supervisor._live._read = Order("wx.toml", {"workers": 2}).config
    if "hang" in line:
        monkeypatch.setattr(starting, "_PATIENCE_S", 3.0)
        monkeypatch.setattr(starting, "_END_S", 0.2)
    for name, text in MODULES.items():
        Path(f"{name}.py").write_text(text)
    Path("wx.toml").write_text(f'{line}\ntrusted = ["10.0.0.1"]\n{GOOD}')
    before = supervisor._live.config
    supervisor.handle_hup()
    [said] = caplog.messages
    assert said.startswith(message)
    assert said.endswith("; the configuration before stays in force")
    assert "not-to-be-shown" not in said
    assert (told, supervisor._live.config) == ([], before)
    assert not {"nope", *MODULES} & sys.modules.keys(), "nothing of it was imported here"


def test_what_the_next_start_would_take_is_told_to_wait_for_it(supervisor, caplog, tmp_path, monkeypatch):
    """The module is known here as it was, and the file is newer: the start will read the file."""
    supervisor, told = supervisor
    monkeypatch.setitem(sys.modules, "ahead_known", ModuleType("ahead_known"))
    (tmp_path / "ahead_known.py").write_text("class hooks:\n    on_token = print\nasync def app(*_): ...\n")
    (tmp_path / "wx.toml").write_text(f'hooks = "ahead_known:hooks"\napp = "ahead_known:app"\n{GOOD}')
    supervisor.handle_hup()
    assert caplog.messages == ["the configuration: hooks, app will change at the next restart"]
    assert told == [1, 2]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, ""),
        ({"app": "nope:app"}, "app: there is no module 'nope'"),
        ({"app": "ahead_crash:app"}, "hooks or app: an import ends with RuntimeError"),
    ],
)
def test_a_start_is_tried(tmp_path, settings, problem):
    """As in the process of its own."""
    (tmp_path / "ahead_crash.py").write_text(MODULES["ahead_crash"])
    ours, theirs = Pipe(duplex=False)
    config = Config(store="memory:", accounts=(Account("alpha", "wx01", "s"),), **settings)
    try:
        starting._try(config, theirs)
        said = ours.recv()
    finally:
        logging.disable(logging.NOTSET)
        ours.close()
        theirs.close()
    assert said.startswith(problem)
    assert bool(said) == bool(problem)


def test_the_supervisor_looks_at_the_files_on_behalf_of_its_workers(supervisor, monkeypatch, tmp_path):
    supervisor, told = supervisor
    now = time.monotonic()
    monkeypatch.setattr(serve.time, "monotonic", lambda: now)
    (tmp_path / "wx.toml").write_text('[accounts.beta]\nappid = "wx01"\nsecret = "s"\n')
    for wait_s, wanted in [(0, []), (5, []), (0.5, []), (0.5, [1, 2]), (4, [1, 2]), (2, [1, 2])]:
        now += wait_s
        supervisor.keep_subprocess_alive()
        assert told == wanted


def test_workers_are_started_with_the_signal_blocked(supervisor, monkeypatch):
    supervisor, _ = supervisor
    seen = []
    look = lambda _: seen.append(signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, []))  # noqa: E731
    for name in ("init_processes", "keep_subprocess_alive", "handle_ttin"):
        monkeypatch.setattr(serve.Multiprocess, name, look)
        getattr(supervisor, name)()
        look(None)
    assert seen == [True, False] * 3


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1"),
        ("localhost", "http://127.0.0.1"),
        ("0.0.0.0", "http://127.0.0.1"),
        ("::1", "http://[::1]"),
        ("::", "http://[::1]"),
    ],
)
def test_an_address_is_shown_as_it_can_be_reached(host, shown):
    with serve.listen(host, 0) as sock:
        port = sock.getsockname()[1]
        assert serve.address_of(sock) == f"{shown}:{port}"
        with socket.create_connection((shown.removeprefix("http://").strip("[]"), port)):
            pass


def test_without_posix_the_address_is_not_shared(monkeypatch):
    monkeypatch.setattr(os, "name", "nt")
    with serve.listen("127.0.0.1", 0) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0


def test_nothing_is_announced_where_no_server_answers(capsys):
    account = Account("alpha", "wx01", "s")
    with serve.listen("127.0.0.1", 0) as sock:
        base = serve.address_of(sock)
    serve.announce(Config(accounts=(account,)), base, "http://127.0.0.1:1").join()
    assert capsys.readouterr().out == ""


def test_a_name_is_quoted_in_what_to_try():
    config = Config(accounts=(Account("公众号", "wx01", "s"),))
    lines = serve.what_to_try(config, "http://h:1", "http://s:2")
    assert "  curl http://h:1/token/%E5%85%AC%E4%BC%97%E5%8F%B7" in lines


class FakeServer:
    def __init__(self, error):
        self.error = error

    def handle_exit(self, number, frame):
        pass

    def run(self, sockets):
        if self.error:
            raise self.error


@pytest.mark.parametrize(("error", "code"), [(None, 0), (SystemExit(3), 1)])
def test_a_server_that_could_not_start_ends_with_1(signals, error, code):
    assert serve._run_alone(FakeServer(error), None) == code
