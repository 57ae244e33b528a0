"""The files of the deployment page are read as the programs read that they are for."""

from __future__ import annotations

import configparser
import json
import re
import shlex

import pytest
import yaml
from docs_pages import DOCS, all_blocks, blocks, table

from wxtoken_asgi import manager
from wxtoken_asgi.command import serve
from wxtoken_asgi.command.cli import _parser
from wxtoken_asgi.config import load

PAGE = DOCS / "deployment.md"
LONGEST_S = serve._GRACE_S + manager.SHUTDOWN_FETCH_S + manager.SHUTDOWN_HOOKS_S + manager.SHUTDOWN_STORE_S


def served(argv, environ, tmp_path):
    """What `wxtoken serve` makes of arguments and variables, with a file for the page's `--config`."""
    args = _parser().parse_args(argv)
    file = tmp_path / "wxtoken.toml"
    file.write_text('[accounts.shop]\nappid = "wx0123456789abcdef"\n')
    assert args.config is None or args.config.endswith("wxtoken.toml")
    return args, load(str(file), environ=environ)


def test_the_unit_starts_what_the_program_takes_and_waits_long_enough(tmp_path):
    [block] = all_blocks("ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string(block.text)
    service = unit["Service"]
    (tmp_path / "shop").write_text("s1\n")
    name, _, value = service["Environment"].partition("=")
    environ = {name: value.replace("%d", str(tmp_path))}
    args, config = served(shlex.split(service["ExecStart"])[1:], environ, tmp_path)
    assert args.workers == 2
    assert config.accounts[0].secret == "s1"
    assert service["LoadCredential"].startswith("shop:")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["StateDirectoryMode"] == "0700"
    assert float(service["TimeoutStopSec"]) > LONGEST_S


def test_the_manifest_starts_what_the_program_takes_and_waits_long_enough(tmp_path):
    [block] = all_blocks("yaml")
    spec = yaml.safe_load(block.text)["spec"]["template"]["spec"]
    [container] = spec["containers"]
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "secrets"]
    (tmp_path / "shop").write_text("s1\n")
    environ = {
        variable["name"]: variable["value"].replace(mount["mountPath"], str(tmp_path))
        if "value" in variable
        else "redis://user:password@redis:6379/0"
        for variable in container["env"]
    }
    _, config = served(["serve", *container["args"]], environ, tmp_path)
    assert config.store == "redis://user:password@redis:6379/0"
    assert config.accounts[0].secret == "s1"
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == "secrets"]
    assert [item["path"] for item in volume["secret"]["items"]] == ["shop"]
    probes = {container[f"{sort}Probe"]["httpGet"]["path"] for sort in ("liveness", "readiness")}
    assert probes == {"/health/live", "/health/ready"}
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > LONGEST_S + pause
    assert spec["enableServiceLinks"] is False


def test_the_image_starts_what_the_program_takes():
    [block] = all_blocks("dockerfile")
    lines = dict(line.split(" ", 1) for line in block.text.splitlines())
    program, *argv = json.loads(lines["ENTRYPOINT"])
    assert program == "wxtoken"
    assert _parser().parse_args(argv).host == "0.0.0.0"
    assert lines["ENV"] == f"STATE_DIRECTORY={lines['VOLUME']}"
    assert lines["EXPOSE"] == str(load(environ={}).port)


def test_the_seconds_of_the_end_are_the_code_s():
    seconds = [float(row[1]) for row in table(PAGE, "what")]
    assert seconds == [
        serve._GRACE_S,
        manager.SHUTDOWN_FETCH_S,
        manager.SHUTDOWN_HOOKS_S,
        manager.SHUTDOWN_STORE_S,
    ]
    text = PAGE.read_text(encoding="utf-8")
    assert f"{LONGEST_S:g} in all" in text


def test_the_servers_of_the_page_wait_long_enough():
    lines = [line for block in blocks(PAGE, "sh") for line in block.text.splitlines()]
    waits = [
        float(found[1]) for line in lines if (found := re.search(r"--[a-z-]*graceful[a-z-]* (\d+)", line))
    ]
    assert len(waits) == 2
    assert min(waits) >= serve._GRACE_S
    assert sum("--workers 4" in line or "-w 4" in line for line in lines) == 2


def test_the_worker_class_of_the_page_leaves_forwarding_headers_alone():
    [block] = [block for block in blocks(PAGE, "python") if "class Worker" in block.text]
    names = {}
    exec(block.text, names)
    assert names["Worker"].CONFIG_KWARGS["proxy_headers"] is False


@pytest.mark.parametrize("block", all_blocks("redis"), ids=str)
def test_the_rights_in_redis_are_the_code_s(block):
    from wxtoken_asgi.stores.redis.trouble import ACL

    assert " ".join(block.text.split()) == ACL
