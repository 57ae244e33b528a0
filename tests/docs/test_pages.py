"""What the pages say is what the code has: links, twins, tables, names."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import re
from pathlib import Path

import pytest
from docs_pages import (
    DOCS,
    PAGES,
    ROOT,
    TWINS,
    Block,
    all_blocks,
    anchors,
    blocks,
    headings,
    links,
    name,
    table,
)

import wxtoken_asgi
from wxtoken_asgi import TokenManager, WxTokenError, WxTokenMiddleware, errors
from wxtoken_asgi.command import cli
from wxtoken_asgi.config.settings import SETTINGS
from wxtoken_asgi.errcodes import ErrorClass, classify

PACKAGE = ROOT / "wxtoken_asgi"
NEVER_ANSWERED = {"error", "config", "wrong_loop"}


# the pages among themselves


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    for target in links(page):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_links_every_page(readme):
    linked = set(links(ROOT / readme))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= linked
    assert {f"docs/zh/{page.name}" for page in (DOCS / "zh").glob("*.md")} <= linked


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=name)
def test_the_chinese_page_has_the_same_code_headings_and_tables(english, chinese):
    assert [(block.lang, block.text) for block in blocks(english)] == [
        (block.lang, block.text) for block in blocks(chinese)
    ]
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(chinese)]
    assert _table_shape(english) == _table_shape(chinese)


def _table_shape(page: Path) -> list[int]:
    lines = page.read_text(encoding="utf-8").splitlines()
    return [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]


@pytest.mark.parametrize(("_", "chinese"), TWINS, ids=name)
def test_the_chinese_page_is_in_chinese(_, chinese):
    text = chinese.read_text(encoding="utf-8")
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 500


def test_the_readme_opens_with_the_smallest_program():
    for readme in (ROOT / "README.md", ROOT / "README.zh-CN.md"):
        assert readme.read_text(encoding="utf-8").startswith("# wxtoken-asgi\n\n```python\n")


def test_the_readme_holds_the_two_commands_of_the_set_up():
    [commands] = [block.text for block in blocks(ROOT / "README.md", "sh") if "venv" in block.text]
    assert commands.splitlines() == [
        "python3 -m venv .venv && .venv/bin/pip install '.[server]' && .venv/bin/wxtoken serve --sandbox",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_folder_of_somebodys_machine(page):
    assert not re.search(r"/home/|/work/|/tmp/|/Users/", page.read_text(encoding="utf-8"))


def test_every_block_is_of_a_language_that_is_checked():
    known = {"python", "toml", "console", "sh", "nginx", "js", "ini", "yaml", "dockerfile", "redis"}
    assert {block.lang for block in all_blocks()} <= known


@pytest.mark.parametrize("block", all_blocks("nginx"), ids=str)
def test_an_nginx_block_is_whole(block: Block):
    assert block.text.count("{") == block.text.count("}")
    for line in block.text.splitlines():
        assert re.fullmatch(r"\s*\S.*[;{]|\s*}", line), line


# the changelog and the version


def test_the_changelog_has_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{wxtoken_asgi.__version__}]" in text


# python-api.md


@pytest.mark.parametrize("public", wxtoken_asgi.__all__)
def test_a_public_name_has_a_docstring_and_is_on_the_page(public):
    # A dataclass without a docstring gets its signature as one.
    doc = inspect.getdoc(getattr(wxtoken_asgi, public)) or ""
    assert " " in doc.strip()
    assert not doc.startswith(f"{public}(")
    assert re.search(rf"\b{public}\b", (DOCS / "python-api.md").read_text(encoding="utf-8"))


def test_the_public_methods_of_the_manager_are_on_the_page():
    documented = " ".join(row[0] for row in table(DOCS / "python-api.md", "method"))
    promised = {"access_token", "jsapi_ticket", "js_config", "refresh", "reload", "statistics", "ready"}
    assert set(re.findall(r"`(?:await )?(\w+)", documented)) == promised
    assert all(inspect.getdoc(getattr(TokenManager, method)) for method in promised)


@pytest.mark.parametrize("owner", [TokenManager, WxTokenMiddleware, wxtoken_asgi.Account])
def test_every_argument_is_in_its_classs_docstring(owner):
    for argument in inspect.signature(owner).parameters:
        assert re.search(rf"^ +{argument}: ", owner.__doc__, re.MULTILINE), argument


def test_the_table_of_python_errors_is_the_tree():
    rows = {row[0].strip("`"): row[1].strip("`") for row in table(DOCS / "python-api.md", "class")}
    tree = {error.__name__: error for error in _tree(WxTokenError)}
    assert rows.keys() == tree.keys()
    for word, other in rows.items():
        assert not other or other in {base.__name__ for base in tree[word].__mro__}


# http-api.md


def test_the_table_of_errors_equals_the_code():
    rows = table(DOCS / "http-api.md", "status")
    pairs = [(int(row[0]), row[1].strip("`")) for row in rows]
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == _raised() | _answered()
    assert all(row[2] and row[3] for row in rows)


def _tree(error: type[WxTokenError]) -> list[type[WxTokenError]]:
    return [error] + [found for child in error.__subclasses__() for found in _tree(child)]


def _raised() -> set[tuple[int, str]]:
    ours = [error for error in _tree(WxTokenError) if error.__module__ == errors.__name__]
    return {(error.status, error.code) for error in ours if error.code not in NEVER_ANSWERED}


def _answered() -> set[tuple[int, str]]:
    """The literal (status, code) of each error answer that the code builds."""
    found = set()
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        unused = _unused_names(tree)
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and _pair(call) and id(call) not in unused:
                found.add(_pair(call))
    return found


def _pair(call: ast.Call) -> tuple[int, str] | None:
    if getattr(call.func, "id", "") not in {"error_answer", "BadBodyError"}:
        return None
    values = [argument.value for argument in call.args[:2] if isinstance(argument, ast.Constant)]
    return (values[0], values[1]) if len(values) == 2 else None


def _unused_names(tree: ast.Module) -> set[int]:
    """Calls whose answer is put into a name of the module that nothing reads."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    assigned = [node for node in tree.body if isinstance(node, ast.AnnAssign | ast.Assign)]
    unused = set()
    for node in assigned:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if isinstance(target, ast.Name) and target.id not in read:
            unused.add(id(node.value))
    return unused


# configuration.md


def test_the_table_of_settings_is_the_codes():
    rows = table(DOCS / "configuration.md", "setting")
    assert [row[:4] for row in rows] == [
        [
            f"`{row.name}`",
            row.where,
            row.shape.name,
            "" if row.default is None else f"`{json.dumps(row.default)}`",
        ]
        for row in SETTINGS
    ]
    assert all(row[5] for row in rows)


def test_the_flags_of_the_table_are_those_of_the_command():
    rows = table(DOCS / "configuration.md", "setting")
    flags = {row[0].strip("`"): row[4].strip("`") for row in rows if row[4]}
    assert flags == {word: f"--{word}" for word in cli._FLAGS}


@pytest.mark.parametrize("page", [DOCS / "configuration.md"], ids=name)
def test_every_flag_of_the_commands_is_on_the_page(page):
    text = page.read_text(encoding="utf-8")
    source = (PACKAGE / "command" / "cli.py").read_text(encoding="utf-8")
    assert all(f"`{flag}" in text or f" {flag}" in text for flag in re.findall(r'"(--[a-z-]+)"', source))


# policy.md


@pytest.mark.parametrize("row", table(DOCS / "policy.md", "number"), ids=lambda row: row[0])
def test_a_number_of_the_policy_is_the_codes(row):
    module, _, constant = row[0].strip("`").partition(".")
    assert getattr(importlib.import_module(f"wxtoken_asgi.{module}"), constant) == float(row[1])


# architecture.md


def test_every_module_has_its_room():
    cells = " ".join(row[0] for row in table(DOCS / "architecture.md", "room"))
    rooms = set(re.findall(r"`([\w/.]+)`", cells))
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == modules | folders


# errcodes.md


def test_the_list_of_error_numbers_is_made_from_the_code():
    path = DOCS / "errcodes_page.py"
    spec = importlib.util.spec_from_file_location("errcodes_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "errcodes.md").read_text(encoding="utf-8") == module.page()


def test_what_the_list_says_of_the_token_endpoints_is_so():
    assert {row[0].strip("`") for row in table(DOCS / "errcodes.md", "class")} == set(ErrorClass)
    assert classify(40001, at_token_endpoint=True) is ErrorClass.PERMANENT
    assert classify(42001, at_token_endpoint=True) is ErrorClass.TRANSIENT


# from-weixin-token.md


@pytest.mark.parametrize("folder", [DOCS, DOCS / "zh"], ids=name)
def test_every_option_of_the_node_package_is_named_in_all_its_spellings(folder):
    rows = table(folder / "from-weixin-token.md", "`weixin-token`")
    accounts = ["list", "appName", "appId", "appSecret"]
    hooks = ["saveToken", "saveTicket", "onerror", "onError"]
    assert [re.findall("`(.+?)`", row[0]) for row in rows] == [
        [option] for option in (*accounts, *hooks, "trushIp", "trustIp")
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_is_plain_text(page):
    text = page.read_text(encoding="utf-8")
    assert not set(text) & (set(map(chr, range(32))) - {"\n"})
    assert text.endswith("\n")
    assert " \n" not in text
