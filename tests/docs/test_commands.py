"""Every command of the pages is run, and prints what is shown; those that cannot be run are read."""

from __future__ import annotations

import re
import shlex

import pytest
from docs_console import Command, Servers, commands
from docs_pages import PAGES, TWINS, all_blocks, blocks, name, prose

from wxtoken_asgi.command.cli import _parser

# The Chinese pages show the same commands, as another test makes sure.
CONSOLE = [page for page in PAGES if blocks(page, "console") and page not in {twin for _, twin in TWINS}]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    assert set(servers.end()) <= {0}


@pytest.mark.parametrize("page", CONSOLE, ids=name)
def test_the_commands_of_a_page_print_what_is_shown(servers, tmp_path, page):
    for block in blocks(page, "console"):
        found = list(commands(block.text))
        assert found, block
        for command in found:
            out = servers.run(command, tmp_path)
            assert command.shows(out), f"{block}: {command.line}\nshown:\n{command.shown}\nprinted:\n{out}"


def test_there_are_commands_on_many_pages():
    assert len(CONSOLE) >= 6
    assert sum(len(list(commands(block.text))) for page in CONSOLE for block in blocks(page, "console")) >= 25


@pytest.mark.parametrize(
    ("shown", "out", "same"),
    [
        ("ok\n", "ok", True),
        ("ok\n", "ok\nand more", False),
        ("a…c\n", "abc", True),
        ("a…c\n", "a\nc", False),
        ("a\n…\nd\n", "a\nb\nc\nd", True),
        ("a\n…\nd\n", "a\nd", True),
        ("a.c\n", "abc", False),
        ("", "", True),
        ("", "something", False),
    ],
)
def test_the_comparison_bites(shown, out, same):
    assert Command("true", shown).shows(out) is same


@pytest.mark.parametrize("block", all_blocks("sh"), ids=str)
def test_a_shell_block_holds_known_commands(block):
    known = {"python3", "curl", "export", "uvicorn", "gunicorn", "wxtoken", ".venv/bin/pip", "WX_APPID=wx..."}
    for line in block.text.splitlines():
        assert shlex.split(line)[0] in known, line


def _spoken_commands() -> list[str]:
    """All that begins with `wxtoken`, in blocks and in the text."""
    lines = [line for block in all_blocks("sh") for line in block.text.splitlines()]
    lines += [command.line for block in all_blocks("console") for command in commands(block.text)]
    lines += [found for page in PAGES for found in re.findall(r"`(wxtoken [^`]+)`", prose(page))]
    found = (re.search(r"(?:^|&& \S*/)wxtoken (.+)", line) for line in lines)
    return sorted({match[1] for match in found if match})


@pytest.mark.parametrize("line", _spoken_commands())
def test_every_wxtoken_command_is_one_that_the_program_takes(line, capsys):
    argv = shlex.split(line)
    if argv == ["token"]:  # the command's name
        argv.append("shop")
    try:
        args = _parser().parse_args(argv)
    except SystemExit as end:
        assert (end.code, argv) == (0, ["--version"])  # noqa: PT017 - it ends the program, and rightly
        assert capsys.readouterr().out.startswith("wxtoken-asgi ")
    else:
        assert callable(args.run)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_uvicorn_is_never_shown_with_its_own_proxy_handling(page):
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"uvicorn [\w.]+:app[^\n`]*", text):
        assert "--no-proxy-headers" in line
