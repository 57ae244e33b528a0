"""What goes wrong between us and WeChat, and what a reader sees of it: a real process, real sockets."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.launcher import STABLE, TOKEN, Launcher, wechat_server
from support.servers import answer_on, burst, raw_request, wait_until

ENDPOINTS = ("stable", "token")
HOOKS = {"hooks": "told:Told", "environ": {"PYTHONPATH": str(Path(__file__).parent / "programs")}}
OK = (200, '{"message":"ok"}')
HANG_S = 0.5

# Each fault: how it is armed, and what a caller sees of it: status, code, errcode.
FAULTS = {
    "garbage": ({"kind": "garbage"}, (503, "not_ready", None)),
    "empty": ({"kind": "empty"}, (503, "not_ready", None)),
    "half": ({"kind": "half"}, (503, "not_ready", None)),
    "reset": ({"kind": "reset"}, (503, "not_ready", None)),
    "html": ({"kind": "status", "status": 502}, (503, "not_ready", None)),
    "busy": ({"errcode": -1}, (503, "not_ready", -1)),
    "hang": ({"kind": "hang"}, (504, "upstream_timeout", None)),
    "quota": ({"errcode": 45009}, (502, "upstream_refused", 45009)),
    "secret": ({"errcode": 40125}, (502, "upstream_refused", 40125)),
    "listed": ({"errcode": 40164}, (502, "upstream_refused", 40164)),
}
PASSING = {name for name, (_, seen) in FAULTS.items() if seen[0] != 502}


@pytest.fixture(scope="module", autouse=True)
def leaving(vault, tmp_path_factory):
    """A process that is told to end while WeChat hangs: the tests before need not wait for it."""
    folder = tmp_path_factory.mktemp("leaving")
    with wechat_server(vault) as wechat, Launcher(folder, vault) as launcher, ThreadPoolExecutor(1) as pool:
        wechat.sandbox.fail("hang", times=None)
        served = launcher.serve({endpoint: wechat.add(endpoint, endpoint) for endpoint in ENDPOINTS})
        wait_until(lambda: wechat.fetches() == 2, "both fetches")
        begun = time.monotonic()
        served.signal(signal.SIGTERM)
        yield pool.submit(lambda: (served.wait(15), time.monotonic() - begun, served.err))


@pytest.fixture
def accounts(wechat):
    """One of each endpoint."""
    return {endpoint: wechat.add(endpoint, endpoint) for endpoint in ENDPOINTS}


@pytest.fixture
def patients(wechat):
    """An account for each fault on each endpoint; its name begins with the fault's."""
    pairs = [(fault, endpoint) for fault in FAULTS for endpoint in ENDPOINTS]
    tables = {f"{fault}-{endpoint}": wechat.add(f"{fault}-{endpoint}", endpoint) for fault, endpoint in pairs}
    return tables | {name: tables[name] | {"timeout": HANG_S} for name in ("hang-stable", "hang-token")}


def arm(wechat, patients):
    for name, table in patients.items():
        armed, _ = FAULTS[name.partition("-")[0]]
        wechat.sandbox.fail(appid=table["appid"], times=None, **armed)


def ask_all(ask, names):
    """The answers for all accounts, asked at the same time."""
    with ThreadPoolExecutor(len(names)) as crowd:
        return dict(zip(names, crowd.map(lambda name: ask(f"/token/{name}"), names), strict=True))


def assert_seen(name, answer):
    told = answer.json()
    assert (answer.status_code, told["code"], told.get("errcode")) == FAULTS[name.partition("-")[0]][1], name
    assert int(answer.headers["retry-after"]) >= 1, name
    assert f"account {name}" in told["errmsg"]


@pytest.fixture
def sending(accounts):
    """Send one request for each account of both endpoints, `times` times."""
    with ExitStack() as stack:

        def send(served, method, times=3, bodies=("", "")):
            return [
                sock
                for app, body in zip(accounts, bodies, strict=True)
                for sock in stack.enter_context(
                    burst(
                        served.port, raw_request(method, f"/token/{app}", served.port, body.encode()), times
                    )
                )
            ]

        yield send


def test_a_reader_without_a_token_hears_what_is_wrong_and_gets_one_when_it_has_passed(
    launch, wechat, vault, patients
):
    arm(wechat, patients)
    served = launch.serve(patients)
    for name, answer in ask_all(served.get, patients).items():
        assert_seen(name, answer)
        vault.hear(f"the answer of {name}", answer.text)
    lasting = [name for name in patients if name.partition("-")[0] not in PASSING]
    wechat.sandbox.heal()
    for name in patients.keys() - lasting:
        wait_until(lambda name=name: served.get(f"/token/{name}").status_code == 200, name)
    for name in lasting:  # answered from memory
        assert_seen(name, served.get(f"/token/{name}"))
        assert_seen(name, served.put(f"/token/{name}"))
        assert wechat.fetches(name) == 1
    assert served.get("/health/ready").status_code == 200
    assert served.end() == 0
    assert "Traceback" not in served.err


def test_a_wrong_secret_and_an_address_that_is_not_listed_are_told_in_plain_words(launch, wechat, vault):
    wrong = wechat.add("wrong") | {"secret": vault.new("a wrong secret")}
    accounts = {"wrong": wrong, "barred": wechat.add("barred", "token", whitelist=["203.0.113.1"])}
    served = launch.serve(accounts)
    answers = ask_all(served.get, accounts)
    assert [answer.json()["errcode"] for answer in answers.values()] == [40125, 40164]
    assert "127.0.0.1" in answers["barred"].json()["errmsg"]
    assert wechat.fetches() == 2
    for name in accounts:
        served.says(f"account {name}")


def test_a_failed_refresh_takes_nothing_away(launch, wechat, patients):
    served = launch.serve(patients)
    tokens = {name: answer.text for name, answer in ask_all(served.get, patients).items()}
    arm(wechat, patients)
    for name, answer in ask_all(served.put, patients).items():
        assert_seen(name, answer)
    wechat.stop()
    assert {name: answer.text for name, answer in ask_all(served.get, patients).items()} == tokens
    assert all(map(wechat.sandbox.accepts, tokens.values()))


def test_who_comes_while_wechat_is_away_waits_for_its_return(launch, wechat, accounts, sending):
    wechat.stop()
    served = launch.serve(accounts, **HOOKS)
    for app in accounts:
        served.says(f"told of error connect of {app}")
    sockets = sending(served, "GET")
    wechat.start()
    answers = {answer_on(sock) for sock in sockets}
    assert [status for status, _ in answers] == [200, 200]
    assert all(wechat.sandbox.accepts(token) for _, token in answers)
    assert [wechat.fetches(app) for app in accounts] == [1, 1]


def test_a_refresh_that_sigterm_meets_is_finished_and_told(launch, wechat, accounts, sending):
    served = launch.serve(accounts, **HOOKS)
    tokens = [served.get(f"/token/{app}").text for app in accounts]
    for token in tokens:
        wechat.sandbox.revoke(token)
    wechat.close_gate(TOKEN, STABLE)
    reports = sending(served, "PUT", bodies=tokens)
    wait_until(lambda: wechat.arrived == 2, "both fetches")
    served.signal(signal.SIGTERM)
    served.says("Shutting down")
    wechat.open_gate()
    assert {answer_on(sock) for sock in reports} == {OK}
    assert served.wait(10) == 0
    assert [served.out.count(f"told of access_token of {app}") for app in accounts] == [2, 2]
    assert [wechat.fetches(app) for app in accounts] == [3, 2]
    assert "Traceback" not in served.err


def test_a_first_fetch_for_which_nobody_waits_is_finished_too(launch, wechat, accounts):
    wechat.close_gate(TOKEN, STABLE)
    served = launch.serve(accounts, **HOOKS)
    wait_until(lambda: wechat.arrived == 2, "both fetches")
    served.signal(signal.SIGTERM)
    served.says("Waiting for application shutdown")
    time.sleep(0.5)  # long enough for a fetch that nobody minds to be given up
    wechat.open_gate()
    assert served.wait(10) == 0
    assert [served.out.count(f"told of access_token of {app}") for app in accounts] == [1, 1]
    assert [wechat.fetches(app) for app in accounts] == [1, 1]


def test_a_wechat_that_hangs_does_not_keep_the_process_from_ending(leaving):
    code, seconds, said = leaving.result()
    assert code == 0
    assert 4 < seconds < 9  # 5 s for the fetches, 1 s for the store, and a slow machine
    assert "Traceback" not in said


def test_after_a_sigkill_in_a_fetch_the_next_process_has_a_token(launch, wechat, accounts, sending):
    served = launch.serve(accounts)
    tokens = {app: served.get(f"/token/{app}").text for app in accounts}
    wechat.close_gate(TOKEN, STABLE)
    sockets = sending(served, "PUT")
    wait_until(lambda: wechat.arrived == 2, "both fetches")
    served.kill()
    assert {sock.recv(1) for sock in sockets} == {b""}
    wechat.open_gate()
    heir = launch.serve(accounts, port=served.port)
    found = {app: heir.get(f"/token/{app}").text for app in accounts}
    assert all(map(wechat.sandbox.accepts, found.values()))
    assert [found[app] == tokens[app] for app in accounts] == [True, False]
    assert heir.end() == 0
