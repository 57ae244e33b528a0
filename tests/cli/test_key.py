"""`wxtoken key`: a new key on stdout, what is kept of it on stderr or in a file."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
import time
import tomllib
from threading import Thread

import pytest

from wxtoken_asgi.command import newkey
from wxtoken_asgi.command.cli import main
from wxtoken_asgi.config import load
from wxtoken_asgi.keys import Key, new_key

OLD = Key.of("wxk_an-old-one")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Runs `wxtoken key`; gives the key and the lines on stderr."""

    def run(*argv):
        assert main(["key", *argv]) == 0
        out, err = capsys.readouterr()
        assert re.fullmatch(r"wxk_[\w-]{43}\n", out)
        assert out.strip() not in err
        return out.strip(), err.splitlines()

    return run


@pytest.fixture
def refused(capsys):
    """Runs `wxtoken key`, which prints no key; gives its one line."""

    def refused(*argv):
        try:
            code = main(["key", *argv])
        except SystemExit as problem:
            code = problem.code
        out, err = capsys.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1)
        return err.strip()

    return refused


def test_each_key_is_a_new_one(run):
    assert run()[0] != run()[0]


def test_without_a_name_the_line_of_a_client_s_table_is_shown(run):
    key, said = run()
    assert tomllib.loads(said[1]) == {"keys": [Key.of(key).line]}
    assert len(said) == 3


@pytest.mark.parametrize("name", ["dev", "shop-1", "a.b", "服务"])
def test_with_a_name_the_line_is_a_configuration(run, folder, name):
    key, said = run(name)
    assert len(said) == 3
    (folder / "wx.toml").write_text(said[1], encoding="utf-8")
    (client,) = load("wx.toml", environ={}).clients
    assert (client.name, client.keys) == (name, (Key.of(key).line,))


def test_a_lifetime_is_counted_in_days(run):
    key, said = run("dev", "--days", "1.5")
    (line,) = tomllib.loads(said[1])["clients"]["dev"]["keys"]
    found = Key.parse("keys", line)
    assert found.digest == Key.of(key).digest
    assert abs(found.until - time.time() - 1.5 * 86_400) < 300


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["wxk_not-to-be-shown"], "wxtoken: client 'wxk_***': name must not begin as a key does"),
        (["Trusted"], "wxtoken: client Trusted: the setting trusted is called so"),
        (["dev", "wxk_not-to-be-shown"], "wxtoken: unrecognized arguments: wxk_***; see"),
        (["--into", "wxk_not-to-be-shown/f"], "wxtoken: wxk_***: cannot be read and written"),
        (["a b"], "wxtoken: client 'a b': name must be"),
        (["trusted"], "wxtoken: client trusted: the setting trusted is called so"),
        (
            ["--days", "0"],
            "wxtoken key: argument --days: it must be a number, above 0 and at most 36500, not '0'",
        ),
        (["--days", "x"], "wxtoken key: argument --days: it must be a number, above 0"),
        (["--days", "nan"], "wxtoken key: argument --days: it must be a number"),
        (
            ["--into", "f", "--overlap", "-1"],
            "wxtoken key: argument --overlap: it must be a number, at least 0",
        ),
        (["--overlap", "1"], "wxtoken: --overlap: it belongs to --into"),
        (["dev", "--into", "f"], "wxtoken key: argument "),
    ],
)
def test_a_wrong_command_line_makes_no_key(refused, argv, line, folder):
    said = refused(*argv)
    assert said.startswith(line)
    assert "not-to-be-shown" not in said
    assert not list(folder.glob("f*"))


# --into


def keys_of(file):
    return [Key.parse("", line.partition("#")[0].strip()) for line in file.read_text().splitlines() if line]


def test_a_file_that_is_missing_is_made_for_its_owner_alone(run, folder):
    key, said = run("--into", "keys")
    assert (folder / "keys").read_text() == f"{Key.of(key).line}\n"
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o600
    assert said == [f"keys: key {Key.of(key).id} is added, those before it end in 24 hours at most"]
    assert [file.name for file in folder.iterdir()] == ["keys"]


def test_a_new_key_is_added_and_those_before_end_after_the_overlap(run, folder):
    (folder / "keys").write_text(f"{OLD.line} # Ann\n")
    before = time.time()
    key, _ = run("--into", "keys", "--days", "30", "--overlap", "2")
    old, new = keys_of(folder / "keys")
    assert (old.digest, new.digest) == (OLD.digest, Key.of(key).digest)
    assert before + 7_199 <= old.until <= time.time() + 7_200
    assert before + 30 * 86_400 - 1 <= new.until <= time.time() + 30 * 86_400
    assert " # Ann\n" in (folder / "keys").read_text()


def test_a_file_s_mode_and_a_symbolic_link_to_it_stay(run, folder):
    (folder / "real").mkdir()
    (folder / "real" / "keys").write_text(f"{OLD.line}\n")
    (folder / "real" / "keys").chmod(0o640)
    (folder / "keys").symlink_to("real/keys")
    run("--into", "keys")
    assert (folder / "keys").is_symlink()
    assert len(keys_of(folder / "real" / "keys")) == 2
    assert stat.S_IMODE((folder / "real" / "keys").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"wxk_not-to-be-shown\n", "keys: line 1: a key must be a line that"),
        (f"{OLD.line}\nnonsense\n".encode(), "keys: line 2: a key must be a line that"),
        (b"\xff\xfe", "keys: it is no UTF-8 text"),
    ],
)
def test_nonsense_in_a_file_is_refused_and_stays(refused, folder, content, line):
    (folder / "keys").write_bytes(content)
    said = refused("--into", "keys")
    assert said.startswith(f"wxtoken: {line}")
    assert "not-to-be-shown" not in said
    assert (folder / "keys").read_bytes() == content
    assert [file.name for file in folder.iterdir()] == ["keys"]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("none/keys", "cannot be read and written: No such file or directory"),
        (".", "it is no regular file"),
        ("pipe", "it is no regular file"),
        ("/dev/null", "it is no regular file"),
    ],
)
def test_a_file_that_cannot_be_had_is_refused(refused, folder, place, why):
    os.mkfifo(folder / "pipe")
    assert refused("--into", place) == f"wxtoken: {place}: {why}"


def test_what_breaks_in_the_middle_leaves_the_file_as_it_was(refused, folder, monkeypatch):
    (folder / "keys").write_text(f"{OLD.line}\n")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(newkey.os, "fsync", full)
    assert refused("--into", "keys").endswith("keys: cannot be read and written: No space left on device")
    assert (folder / "keys").read_text() == f"{OLD.line}\n"
    assert [file.name for file in folder.iterdir()] == ["keys"]


def test_a_system_without_owners_has_none_to_keep(run, folder, monkeypatch):
    (folder / "keys").write_text(f"{OLD.line}\n")
    monkeypatch.delattr(newkey.os, "fchown")
    run("--into", "keys")
    assert len(keys_of(folder / "keys")) == 2


# The key comes out, or nothing changes


class _Full(io.StringIO):
    """A stdout that nothing can be written to."""

    def __init__(self, problem):
        super().__init__()
        self._problem = problem

    def flush(self):
        raise self._problem


@pytest.mark.parametrize("argv", [[], ["dev"], ["--into", "keys"]])
@pytest.mark.parametrize(
    ("stdout", "why"),
    [
        (None, "there is no stdout"),
        (_Full(OSError(28, "No space left on device")), "No space left on device"),
        (_Full(ValueError("I/O operation on closed file")), "stdout is closed"),
    ],
)
def test_a_key_that_cannot_be_printed_ends_no_other(folder, capsys, monkeypatch, *, argv, stdout, why):
    (folder / "keys").write_text(f"{OLD.line}\n")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["key", *argv]) == 1
    assert capsys.readouterr().err == (
        f"wxtoken: the key could not be printed, and nothing was changed: {why}\n"
    )
    assert (folder / "keys").read_text() == f"{OLD.line}\n"
    assert [file.name for file in folder.iterdir()] == ["keys"]


def test_the_key_is_out_before_the_file_changes(folder, monkeypatch):
    file = folder / "keys"
    file.write_text(f"{OLD.line}\n")
    seen = []
    newkey.rotate(file, Key.of(new_key()), time.time(), 0, lambda: seen.append(file.read_text()))
    assert seen == [f"{OLD.line}\n"]
    assert OLD.line not in file.read_text()


def _start(*argv, **more):
    command = [sys.executable, "-m", "wxtoken_asgi.command.cli", "key", *argv]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **more)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_full_disk_behind_stdout_is_one_line(folder):
    (folder / "keys").write_text(f"{OLD.line}\n")
    with open("/dev/full", "wb") as full, _start("--into", "keys", stdout=full, cwd=folder) as process:  # noqa: PTH123
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count(b"\n") == 1
    assert (folder / "keys").read_text() == f"{OLD.line}\n"


def test_of_several_at_once_no_key_is_lost(folder):
    (folder / "keys").write_text(f"{OLD.line}\n")
    processes = [_start("--into", "keys", stdout=subprocess.PIPE, cwd=folder) for _ in range(6)]
    printed = [process.communicate(timeout=120)[0].decode().strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 6
    digests = {key.digest for key in keys_of(folder / "keys")}
    assert digests == {OLD.digest, *(Key.of(key).digest for key in printed)}


def test_whoever_comes_second_waits_for_the_first(folder):
    file, order = folder / "keys", []
    late = Thread(
        target=newkey.rotate, args=(file, Key.of("two"), time.time(), 60, lambda: order.append("two"))
    )

    def ready():
        late.start()
        late.join(0.3)  # it would be through long before, did it not wait
        order.append("one")

    newkey.rotate(file, Key.of("one"), time.time(), 60, ready)
    late.join(60)
    assert order == ["one", "two"]
    assert [key.digest for key in keys_of(file)] == [Key.of("one").digest, Key.of("two").digest]


def test_a_system_without_locks_does_without(run, folder, monkeypatch):
    monkeypatch.setattr(newkey.importlib.util, "find_spec", lambda _: None)
    run("--into", "keys")
    assert len(keys_of(folder / "keys")) == 1
