"""The command line: exit codes, and one line for whatever is wrong."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys

import pytest

from wxtoken_asgi.command.cli import main

WRONG_PORT = "port must be 0 to 65535, not 70000"
DOOR = "js_config_host and js_config_port: cannot listen on 192.0.2.1 port 0: "
OLD = 'endpoint = "token"'
STABLE = '[accounts.alpha]\nappid = "wx01"\nsecret = "not-to-be-shown"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    modules = dict(sys.modules)
    for name in [name for name in os.environ if name.startswith("WXTOKEN_")]:
        monkeypatch.delenv(name)
    yield tmp_path
    for name in set(sys.modules) - set(modules):
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def ends(argv, capsys):
    """Runs a command that is refused; gives its exit code and its one line."""
    try:
        code = main(argv)
    except SystemExit as problem:
        code = problem.code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "not-to-be-shown" not in err
    return code, err.strip()


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "wxtoken: the following arguments are required: COMMAND; see wxtoken --help"),
        (
            ["serve", "--port", "x"],
            "wxtoken serve: argument --port: invalid int value: 'x'; see wxtoken serve --help",
        ),
        (
            ["sandbox", "--port", "70000"],
            f"wxtoken sandbox: argument --port: {WRONG_PORT}; see wxtoken sandbox --help",
        ),
        (["serve", "--por", "1"], "wxtoken: unrecognized arguments: --por 1; see wxtoken --help"),
        (["token"], "wxtoken token: the following arguments are required: APP; see wxtoken token --help"),
    ],
)
def test_a_wrong_command_line_is_one_line(argv, line, capsys):
    assert ends(argv, capsys) == (2, line)


def test_an_unknown_command_is_one_line(capsys):
    code, line = ends(["sreve"], capsys)
    assert code == 2
    assert "sreve" in line


@pytest.mark.parametrize("command", [[], ["serve"], ["sandbox"], ["token"], ["key"]])
def test_each_command_has_a_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: wxtoken" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("wxtoken-asgi ")


@pytest.mark.parametrize(
    ("argv", "toml", "line"),
    [
        ("--config nope.toml", "", "nope.toml: cannot be read: No such file or directory"),
        ("", "", "accounts: there is none; write [accounts.NAME] into the --config file, or try --sandbox"),
        ("", "x", "wx.toml: no TOML: Expected '=' after a key in a key/value pair (at line 1, the last one)"),
        ("--port 70000", STABLE, "--port: port must be 0 to 65535, not 70000"),
        ("--store nowhere", STABLE, "store: "),
        ("--app shop", STABLE, "--app: app must be like 'module:object', not 'shop'"),
        ("--app no_shop:app", STABLE, "app: there is no module 'no_shop'"),
        ("--app os.no_shop:app", STABLE, "app: there is no module 'os.no_shop'"),
        ("--app os:no.app", STABLE, "app: module 'os' has no 'no.app'"),
        ("--app os:name", STABLE, "app: os:name is no ASGI app: it cannot be called"),
        ("", 'hooks = "no_shop:hooks"\n' + STABLE, "hooks: there is no module 'no_shop'"),
        (
            "",
            'hooks = "os:path"\n' + STABLE,
            "hooks: os:path needs a function on_token, on_ticket or on_error",
        ),
        ("", 'trusted = ["::1/200"]\n' + STABLE, "wx.toml: trusted: "),
        ("", 'trusted_proxies = ["proxy"]\n' + STABLE, "wx.toml: trusted_proxies: "),
        ("", 'hosts = ["a:80"]\n' + STABLE, "wx.toml: hosts: "),
        ("", STABLE + 'tickets = ["no"]', "wx.toml: account alpha: tickets"),
        ("", STABLE + 'endpoint = "old"', "wx.toml: account alpha: endpoint must be"),
        ("--workers 2 --store memory:", STABLE + OLD, "account alpha: endpoint 'token' with 2 workers"),
        (
            "--workers 2",
            'store = "memory:"\n' + STABLE + OLD,
            "account alpha: endpoint 'token' with 2 workers",
        ),
        ("--store nothing://user:not-to-be-shown@host", STABLE, "store: 'nothing' is no store"),
        ("--store :memory:", STABLE, "store: "),
        ("--store sqlite://:memory:", STABLE, "store: "),
        ("--store sqlite:///:memory:", STABLE, "store: "),
        ("--store sqlite://tokens.db", STABLE, "store: "),
        ("--store sqlite:tokens.db", STABLE, "store: "),
        ("--store sqlite:///nowhere/below/tokens.db", STABLE, "store: "),
        ("", 'store_file = "nowhere"\n' + STABLE, "wx.toml: store_file: 'nowhere' cannot be read"),
        ("", 'store_env = "NOWHERE"\n' + STABLE, "wx.toml: store_env: the environment variable 'NOWHERE' is"),
        ("--host 192.0.2.1 --port 0", STABLE, "host and port: cannot listen on 192.0.2.1 port 0: "),
        (
            "--port 0",
            'audit_log = "none/audit.log"\n' + STABLE,
            "audit_log: cannot write none/audit.log: No ",
        ),
        ("--port 0", 'js_config_host = "192.0.2.1"\njs_config_port = 0\n' + STABLE, DOOR),
        (
            "--port 0",
            'clients.dev = { keyless = true, networks = ["x"] }\n' + STABLE,
            "wx.toml: client dev: networks: 'x' is ",
        ),
        (f"--host {'5ec5' * 8}..b --port 0", STABLE, "host and port: cannot listen on ***..b port 0: "),
        ("--host a..b --port 0", STABLE, "host and port: cannot listen on a..b port 0: "),
    ],
)
def test_serve_refuses_a_wrong_configuration_before_any_worker(argv, toml, line, capsys, folder):
    (folder / "wx.toml").write_text(toml)
    given = argv.split() if "--config" in argv else ["--config", "wx.toml", *argv.split()]
    code, said = ends(["serve", *given], capsys)
    assert code == 2
    assert said.startswith(f"wxtoken: {line}")


@pytest.mark.parametrize("place", ["/proc/nowhere", "wx.toml/below", "/dev/null/x"])
def test_without_a_place_for_its_store_serve_names_the_setting(place, capsys, folder, monkeypatch):
    (folder / "wx.toml").write_text(STABLE)
    monkeypatch.setenv("STATE_DIRECTORY", place)
    code, said = ends(["serve", "--config", "wx.toml"], capsys)
    assert code == 2
    assert said.startswith(f"wxtoken: store: cannot make {place}: ")
    assert said.endswith("; write store, or give --store")


def test_a_file_that_is_no_store_is_refused_before_any_worker(capsys, folder):
    (folder / "wx.toml").write_text(STABLE)
    (folder / "tokens.db").write_text("no database " * 400)
    code, said = ends(["serve", "--config", "wx.toml", "--store", f"sqlite://{folder}/tokens.db"], capsys)
    assert code == 2
    assert said.startswith(f"wxtoken: store: {folder}/tokens.db ")


def test_serve_refuses_a_busy_port(capsys, folder):
    (folder / "wx.toml").write_text(STABLE)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        code, said = ends(["serve", "--config", "wx.toml", "--port", str(port)], capsys)
    assert (code, said) == (
        2, f"wxtoken: host and port: cannot listen on 127.0.0.1 port {port}: Address already in use",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["uvicorn", "httptools"])
@pytest.mark.parametrize("command", ["serve", "sandbox"])
def test_a_missing_extra_is_named(name, command, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == name else found(wanted))
    assert ends([command], capsys) == (2, f"wxtoken: {name} is missing: pip install 'wxtoken-asgi[server]'")


@pytest.mark.parametrize(
    ("module", "error"), [("1 / 0", ZeroDivisionError), ("import no_such_dependency", ModuleNotFoundError)]
)
def test_an_app_that_crashes_shows_its_own_traceback(module, error, folder):
    (folder / "wx.toml").write_text(STABLE)
    (folder / "crashing_shop.py").write_text(module)
    with pytest.raises(error):
        main(["serve", "--config", "wx.toml", "--app", "crashing_shop:app"])


def test_ctrl_c_before_the_server_runs_is_no_traceback(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("wxtoken_asgi.command.cli.read", interrupted)
    assert main(["token", "alpha"]) == 1
    assert capsys.readouterr() == ("", "")
