"""The search for secrets bites: what is planted is found, in every form and place."""

from __future__ import annotations

import base64

import pytest

from wxtoken_asgi.sandbox import Sandbox

from support.launcher import Launcher
from support.secrets import HEAD, Vault, forms, value_shaped

SECRET = "0123456789abcdef+/%&=fedcba9876543210"
FORMS = list(forms(SECRET))


@pytest.fixture
def planted():
    vault = Vault()
    vault.add("the planted one", SECRET)
    return vault


@pytest.mark.parametrize(
    ("form", "text"), FORMS, ids=[f"{form}-{number}" for number, (form, _) in enumerate(FORMS)]
)
@pytest.mark.parametrize("place", ["stdout", "stderr", "run/all.log", "run/deep/down.json"])
def test_a_secret_in_a_file_is_found_in_every_form(tmp_path, planted, place, form, text):
    path = planted.watch(tmp_path) / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff\xfe before" + text + b"after")
    found = {(leak.where, leak.what, leak.form) for leak in planted.leaks()}
    assert (f"{tmp_path.name}/{place}", "the planted one", form) in found


def test_a_secret_in_a_text_and_in_a_files_name_is_found(tmp_path, planted):
    planted.hear("an answer", f"... {SECRET} ...")
    (planted.watch(tmp_path) / f"dump-of-{SECRET[:HEAD]}").mkdir()
    assert {leak.where.split(" of ")[0] for leak in planted.leaks()} == {"an answer", "the name"}


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xx", "\n"])
def test_a_secret_inside_of_base64_is_found_wherever_it_begins(planted, before, after):
    planted.hear("a header", base64.b64encode(f"{before}{SECRET}{after}".encode()))
    assert "base64" in {leak.form for leak in planted.leaks()}


def test_what_a_child_prints_is_searched_and_what_the_sandbox_hands_out_is_known(tmp_path):
    vault = Vault()
    vault.learn(b'{"access_token":"99_abcdefghijklmnop","expires_in":7200}')
    vault.learn(b'{"errcode":0,"errmsg":"ok","ticket":"tick-et_abcdefghijkl')
    with Launcher(tmp_path, vault) as launch:
        say = "import sys; print('99_abcdefghijklmnop'); sys.stderr.write('tick-et_abcd')"
        assert launch.program("-c", say).wait() == 0
    leaks = vault.leaks()
    assert {(leak.where, leak.what) for leak in leaks} == {
        ("program-1/stdout", "access_token"),
        ("program-1/stderr", "ticket"),
    }
    assert "99_abcdefg" not in repr(leaks) + repr(vault)


def test_nothing_is_found_where_there_is_nothing(planted):
    planted.hear("an answer", SECRET[: HEAD - 1] + SECRET[HEAD:])
    assert planted.leaks() == []


def test_a_folder_that_is_gone_is_not_taken_for_a_clean_one(tmp_path, planted):
    planted.watch(tmp_path / "gone")
    with pytest.raises(AssertionError, match="gone was removed"):
        planted.leaks()


def test_the_vault_of_this_run_knows_its_sandboxes_tokens(launch, wechat, vault):
    served = launch.serve(wechat.accounts)
    token, known = served.get("/token/alpha").text, len(vault)
    ticket = served.get("/ticket/alpha").text
    assert len(vault) == known + 1
    vault.add("access_token", token)
    vault.add("ticket", ticket)
    assert len(vault) == known + 1


def test_what_has_the_shape_of_a_value_is_seen():
    sandbox = Sandbox()
    sandbox.add("wx0000000000000001", "secret")
    token = sandbox.outside_fetch("wx0000000000000001")
    assert value_shaped(f"GET /token/{token} 200") == [token]
    assert value_shaped("ticket: " + "aZ-_9" * 17 + "x") == ["aZ-_9" * 17 + "x"]
    assert not value_shaped("1790000000_new access_token of account alpha, good for 7170 s")
