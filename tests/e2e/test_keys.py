"""Client keys from end to end: made, used, narrowed, ended, rotated under readers; and the log of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wxtoken_asgi.keys import MARK, Key

from support.servers import wait_until

WATCH_S = 0.2
OVERLAP_S = 6.0


@pytest.fixture
def make_key(vault, tmp_path):
    """Makes a key with `wxtoken key`; nothing that is printed beside it tells it."""

    def make(*arguments):
        command = [sys.executable, "-m", "wxtoken_asgi.command.cli", "key", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
        key = vault.add("a client's key", done.stdout.strip())
        assert key.startswith(MARK)
        vault.hear("what `wxtoken key` says beside it", done.stderr)
        return key

    return make


@pytest.fixture
def center(wechat, launch, make_key, tmp_path):
    """A service of which nobody may ask anything without a key, and its audit log."""
    wechat.add("beta")
    keys = tmp_path / "crm.keys"
    first = make_key("--into", str(keys), "--days", "30")
    reader, ended = make_key("dev"), make_key()
    environ = {
        "WXTOKEN_CLIENTS__CRM__KEYS_FILE": str(keys),
        "WXTOKEN_CLIENTS__DEV__KEYS": Key.of(reader).line,
        "WXTOKEN_CLIENTS__DEV__ACCOUNTS": "alpha",
        "WXTOKEN_CLIENTS__DEV__MAY": "read",
        "WXTOKEN_CLIENTS__OLD__KEYS": Key.of(ended, time.time() - 60).line,
    }
    log = tmp_path / "audit.log"
    service = launch.serve(
        wechat.accounts, trusted=[], watch_every=WATCH_S, audit_log=str(log), environ=environ
    )
    return Center(service, keys, log, {"crm": first, "dev": reader, "old": ended})


class Center:
    def __init__(self, service, file, log, keys):
        self.service, self.file, self.log, self.keys = service, file, log, keys

    def takes(self, key):
        """Whether a key is taken; it is not asked so often that refusals are folded."""
        time.sleep(0.25)
        return self.status(key) == 200

    def status(self, key, method="GET", path="/token/alpha"):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return self.service.client.request(method, self.service.url + path, headers=headers).status_code

    def records(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def test_keys_are_used_narrowed_and_ended_and_every_refusal_is_in_the_audit_log(center, vault):
    crm, dev, old = (center.keys[name] for name in ("crm", "dev", "old"))
    wrong = vault.add("a wrong key", MARK + "b" * 43)
    asked = [
        (crm, "GET", "/token/alpha", 200),
        (crm, "PUT", "/token/beta", 200),
        (dev, "GET", "/token/alpha", 200),
        (dev, "PUT", "/token/alpha", 403),
        (dev, "GET", "/token/beta", 403),
        (dev, "GET", "/token/nobody", 403),
        (old, "GET", "/token/alpha", 401),
        (wrong, "GET", "/token/alpha", 401),
        (None, "GET", "/token/alpha", 403),
    ]
    assert [center.status(*one[:3]) for one in asked] == [one[3] for one in asked]
    center.service.end()
    told = [(one["event"], one["client"], one["account"], one["result"]) for one in center.records()]
    assert sorted(told) == sorted(
        [
            ("read", "crm", "alpha", "ok"),
            ("read", "dev", "alpha", "ok"),
            ("refresh", "crm", "beta", "ok"),
            ("refused", "dev", "alpha", "not_allowed"),
            ("refused", "dev", "beta", "not_allowed"),
            ("refused", "dev", "nobody", "not_allowed"),
            ("refused", "old", "alpha", "bad_key"),
            ("refused", "", "alpha", "bad_key"),
            ("refused", "", "alpha", "not_allowed"),
        ]
    )
    assert {one["address"] for one in center.records()} == {"127.0.0.1"}
    assert center.log.stat().st_mode & 0o777 == 0o600


def test_a_key_is_rotated_under_readers_without_a_refusal(center, make_key):
    in_use = [center.keys["crm"]]
    statuses, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            statuses.append(center.status(in_use[0]))
            time.sleep(0.005)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        old = in_use[0]
        new = make_key("--into", str(center.file), "--overlap", str(OVERLAP_S / 3600))
        wait_until(lambda: center.takes(new), "the new key")
        in_use[0] = new
        wait_until(lambda: not center.takes(old), "the end of the old key", OVERLAP_S + 10)
    finally:
        stop.set()
        reader.join()
    assert len(statuses) > 50
    assert set(statuses) == {200}
    assert [Key.of(new).line] == [
        line for line in center.file.read_text().splitlines() if "until" not in line
    ]
    used = {(one["key"], one["result"]) for one in flushed(center) if one["client"] == "crm"}
    assert used == {(Key.of(old).id, "ok"), (Key.of(old).id, "bad_key"), (Key.of(new).id, "ok")}


def flushed(center):
    """The audit log, once the service has ended and written what it had counted."""
    assert center.service.end() == 0
    return center.records()


def test_a_file_of_keys_that_is_nonsense_is_left_as_it_was_and_so_are_the_keys_in_force(center):
    before = center.file.read_text()
    center.file.write_text(before + "nonsense\n")
    center.service.says("line 2")
    assert center.status(center.keys["crm"]) == 200
    command = [sys.executable, "-m", "wxtoken_asgi.command.cli", "key", "--into", str(center.file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 2" in done.stderr
    assert Path(center.file).read_text() == before + "nonsense\n"
