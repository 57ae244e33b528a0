"""The configuration: clients."""

from __future__ import annotations

import textwrap

import pytest

from wxtoken_asgi.clients import Client
from wxtoken_asgi.config import load
from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.settings import ACCOUNT, CLIENT, TOP
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import Key

KEY, OTHER = "wxk_not-to-be-shown-one", "wxk_not-to-be-shown-two"
LINE, NEXT = Key.of(KEY).line, Key.of(OTHER).line
SHOP = '[accounts.shop]\nappid = "wx01"\nsecret = "s"\n'
DEV = f'[clients.dev]\nkeys = ["{LINE}"]\n'
NO_LINE = "a key must be a line that `wxtoken key` prints, 'sha256:...'"
MISSING = "keys, keys_file or keyless = true is missing"
ITSELF = f"{NO_LINE}; that is the key itself: write what stands beside it"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def read(folder):
    """Writes `wx.toml` and loads it, as the command line would from its folder."""

    def read(text, **environ):
        (folder / "wx.toml").write_text(textwrap.dedent(text), encoding="utf-8")
        return load("wx.toml", environ=environ).clients

    return read


@pytest.fixture
def refused(read):
    def refused(text, **environ):
        with pytest.raises(ConfigError) as caught:
            read(text, **environ)
        message = str(caught.value)
        assert "not-to-be-shown" not in message
        assert "\n" not in message
        return message

    return refused


# What makes one


def test_a_client_is_built_of_its_table(read):
    table = f"""
        [clients.dev]
        keys = ["{LINE}", "{NEXT} until 2027-01-31"]
        accounts = ["shop", "wx01"]
        may = ["read", "js-config"]
        networks = ["10.1.0.0/16"]
        """
    clients = read(SHOP + textwrap.dedent(table))
    assert clients == (
        Client(
            "dev",
            (LINE, f"{NEXT} until 2027-01-31"),
            ("shop", "wx01"),
            ("read", "js-config"),
            ("10.1.0.0/16",),
        ),
    )


def test_one_line_is_enough(read):
    clients = read(f'clients.dev = {{ keys = ["{LINE}"], may = ["read"] }}')
    assert clients == (Client("dev", (LINE,), may=("read",)),)


def test_what_is_left_out_is_as_the_table_says(read):
    (dev,) = read(DEV)
    for row in CLIENT.values():
        if row.default is not None and row.name != "keyless":
            assert getattr(dev, row.name) == row.default, row.name


def test_networks_are_enough_for_a_client_that_is_said_to_have_no_key(read):
    lan = Client("lan", networks=("10.1.0.0/16",))
    assert lan.keys is None
    assert read('clients.lan = { keyless = true, networks = ["10.1.0.0/16"] }') == (lan,)


def test_a_line_with_keys_that_is_lost_opens_nothing(read, refused):
    rest = 'networks = ["10.1.0.0/16"]'
    assert read(f"{DEV}{rest}")[0].keys == (LINE,)
    assert refused(f"[clients.dev]\n{rest}") == f"wx.toml: client dev: {MISSING}"


@pytest.mark.parametrize("more", ["", 'networks = ["0.0.0.0/0"]', "keyless = false"])
def test_a_client_whose_keys_are_all_revoked_is_there_and_nobody_is_it(read, caplog, more):
    (dev,) = read(f"[clients.dev]\nkeys = []\n{more}")
    assert dev.keys == ()
    assert read(f"{DEV}{more}", WXTOKEN_CLIENTS__DEV__KEYS="")[0].keys == ()
    assert caplog.messages == []


VARIABLES = {
    "keys": (f"{NEXT} until 2027-01-31,{Key.of('third').line}", 2),
    # keyless is another matter: it excludes keys
    "accounts": ("shop", 1),
    "may": ("read, call", 2),
    "networks": ('["10.1.0.0/16", "unix"]', 2),
}


def test_the_table_of_variables_is_complete():
    assert set(VARIABLES) == set(CLIENT) - {"keys_file", "keyless"}


@pytest.mark.parametrize("name", VARIABLES)
def test_a_setting_of_a_client_comes_from_the_environment(read, name):
    text, count = VARIABLES[name]
    (dev,) = read(SHOP + DEV, **{f"WXTOKEN_CLIENTS__DEV__{name.upper()}": text})
    assert dev.name == "dev"
    assert len(getattr(dev, name)) == count


def test_the_environment_alone_makes_a_client(folder):
    assert load(environ={"WXTOKEN_CLIENTS__DEV__KEYS": LINE}).clients == (Client("dev", (LINE,)),)


def test_the_environment_alone_makes_a_client_that_has_no_key(folder):
    environ = {"WXTOKEN_CLIENTS__LAN__KEYLESS": "true", "WXTOKEN_CLIENTS__LAN__NETWORKS": "::1"}
    assert load(environ=environ).clients == (Client("lan", networks=("::1",)),)


def test_included_files_may_hold_clients(read, folder):
    (folder / "more.toml").write_text(DEV)
    (folder / "lan.toml").write_text('clients.lan = { keyless = true, networks = ["::1"] }')
    clients = read(f'include = ["more.toml", "lan.toml"]\nclients.first = {{ keys = ["{NEXT}"] }}')
    assert [client.name for client in clients] == ["first", "dev", "lan"]


# Keys in a file


def test_keys_stand_in_a_file_beside_the_one_that_names_it(read, folder):
    (folder / "below").mkdir()
    (folder / "below" / "keys").write_text(f"# of the shop\n\n{LINE} # Ann\r\n  {NEXT} until 2027-01-31\n")
    (folder / "below" / "dev.toml").write_text('clients.dev = { keys_file = "keys" }')
    (dev,) = read('include = ["below/dev.toml"]')
    assert dev.keys == (LINE, f"{NEXT} until 2027-01-31")


def test_a_change_of_the_file_is_noticed(folder):
    (folder / "keys").write_text(LINE)
    (folder / "wx.toml").write_text('clients.dev = { keys_file = "keys" }')
    files = Files()
    load("wx.toml", environ={}, files=files)
    assert files.now() == files.then
    (folder / "keys").write_text(f"{LINE}\n{NEXT}")
    assert files.now() != files.then


@pytest.mark.parametrize("form", ["keys", "keys_file"])
def test_either_form_in_the_environment_goes_before_either_in_the_file(read, folder, form):
    (folder / "old").write_text(LINE)
    (folder / "new").write_text(NEXT)
    value = {"keys": NEXT, "keys_file": "new"}[form]
    for text in (DEV, 'clients.dev = { keys_file = "old" }'):
        (dev,) = read(text, **{f"WXTOKEN_CLIENTS__DEV__{form.upper()}": value})
        assert dev.keys == (NEXT,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "'none' cannot be read: No such file or directory"),
        (".", "'.' cannot be read: Is a directory"),
        ("binary", "'binary' cannot be read: it is no UTF-8 text"),
        ("keys", f"'keys' line 3: {ITSELF}"),
        ("words", f"'words' line 1: {NO_LINE}"),
        (KEY, "named there cannot be read: No such file or directory"),
    ],
)
def test_a_file_without_right_keys_is_refused(refused, folder, name, message):
    (folder / "binary").write_bytes(b"\xff" + KEY.encode())
    (folder / "keys").write_text(f"{LINE}\n\n{KEY}\n")
    (folder / "words").write_text("nothing good")
    said = refused(f'clients.dev = {{ keys_file = "{name}" }}')
    assert said == f"wx.toml: client dev: keys_file: {message}"


@pytest.mark.parametrize("content", ["", "\n", "# keys will come\n"])
def test_of_an_empty_file_nobody_is_the_client_and_the_log_says_so_once(read, folder, caplog, content):
    (folder / "keys").write_text(content)
    (dev,) = read('clients.dev = { keys_file = "keys", networks = ["0.0.0.0/0"] }')
    assert dev.keys == ()
    assert caplog.messages == ["wx.toml: client dev: keys_file: 'keys' holds no key: nobody is this client"]


def test_whoever_remembers_the_files_tells_of_their_notes(folder, caplog):
    (folder / "keys").write_text("")
    (folder / "wx.toml").write_text('clients.dev = { keys_file = "keys" }')
    config = load("wx.toml", environ={}, files=Files())
    assert [note.partition(" holds")[0] for note in config.notes] == [
        "wx.toml: client dev: keys_file: 'keys'"
    ]
    assert caplog.messages == []


# What is refused

ONE = "must be a list with one entry at least; left out it means"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'keys = "{KEY}"', "keys must be a list of texts, not text"),
        (f'keys = ["{KEY}"]', f"keys: {ITSELF}"),
        ('keys = ["sha256:00"]', f"keys: {NO_LINE}"),
        (f'keys = ["{LINE} until soon"]', "keys: until 'soon' is no date such as 2027-01-31 or"),
        (f'keyless = true\nkeys = ["{LINE}"]', "keyless: it excludes keys and keys_file"),
        ("keyless = true\nkeys = []", "keyless: it excludes keys and keys_file"),
        ("keyless = true", "keyless: it needs networks by which the client is known"),
        ('keyless = false\nnetworks = ["::1"]', "keyless: if it is false there must be keys or keys_file"),
        ("keyless = 1", "keyless must be true or false, not a whole number"),
        (f'keys = ["{LINE}"]\nkeys_file = "x"', "keys and keys_file exclude each other"),
        ("keys_file = 1", "keys_file must be text in quotes, not a whole number"),
        ('keys_file = ""', "keys_file must be something, not empty, on one line"),
        (f'keys = ["{LINE}"]\naccounts = "shop"', "accounts must be a list of texts, not text"),
        (f'keys = ["{LINE}"]\naccounts = ["shpo"]', "accounts: 'shpo' is no account; did you mean shop?"),
        (f'keys = ["{LINE}"]\naccounts = ["wx99"]', "accounts: 'wx99' is no account"),
        (f'keys = ["{LINE}"]\nmay = ["write"]', "may: 'write' is none of read, refresh, call, operate"),
        ("may = 1", "may must be a list of texts, not a whole number"),
        (f'keys = ["{LINE}"]\naccounts = ["{KEY}"]', "accounts: 'wxk_***' is no account"),
        (f'keys = ["{LINE}"]\nmay = ["{KEY}"]', "may: 'wxk_***' is none of read"),
        (f'keys = ["{LINE}"]\nnetworks = ["{KEY}"]', "networks: 'wxk_***' is no address or network"),
        (f'"{KEY}" = 1', "wxk_*** is no setting"),
        (f'keys = ["{LINE}"]\naccounts = []', f"accounts {ONE}: all, not []"),
        (f'keys = ["{LINE}"]\nmay = []', f"may {ONE}: read, refresh and js-config, not []"),
        (f'keys = ["{LINE}"]\nnetworks = []', f"networks {ONE}: from anywhere, with a key, not []"),
        ('keyless = true\nnetworks = ["::1/200"]', "networks: '::1/200' is no address or network"),
        ("networks = true", "networks must be a list of texts, not true or false"),
        ("", MISSING),
        ('network = ["::1"]', "network is no setting; did you mean networks?"),
        ("trustIp = []", "trustIp is no setting"),
    ],
)
def test_a_wrong_value_of_a_client_is_refused(refused, line, message):
    assert refused(f"{SHOP}[clients.dev]\n{line}").startswith(f"wx.toml: client dev: {message}")


@pytest.mark.parametrize("name", sorted(set(TOP) | {"clients"}))
def test_a_setting_of_the_top_in_a_client_s_table_is_refused(refused, name):
    said = refused(f"[clients.dev]\n{name} = 1")
    assert said == f"wx.toml: client dev: {name} belongs at the top, above the first [clients.NAME]"


@pytest.mark.parametrize("name", sorted(set(ACCOUNT) - set(TOP)))
def test_a_setting_of_an_account_in_a_client_s_table_is_refused(refused, name):
    said = refused(f"[clients.dev]\n{name} = 1")
    assert said == f"wx.toml: client dev: {name} belongs into an account's table, [accounts.NAME]"


@pytest.mark.parametrize("name", sorted(set(CLIENT) - {"accounts"}))
def test_a_setting_of_a_client_at_the_top_or_in_an_account_s_table_is_refused(refused, name):
    hint = f"{name} belongs into a client's table, [clients.NAME]"
    assert refused(f"{name} = 1") == f"wx.toml: {hint}"
    assert refused(f"[accounts.shop]\n{name} = 1") == f"wx.toml: account shop: {hint}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("client = 1", "client is no setting; did you mean clients?"),
        ("clients = []", "clients must be tables such as [clients.alpha]"),
        ("clients.dev = 1", "client dev: must be a table, [clients.NAME]"),
        (
            f'clients."a b" = {{ keys = ["{LINE}"] }}',
            "client 'a b': name must be 1-64 letters, digits, '_', ",
        ),
        (
            'clients.trusted = { keyless = true, networks = ["::1"] }',
            "client trusted: the setting trusted is called so; choose another name",
        ),
        (
            f'clients.Trusted = {{ keys = ["{LINE}"] }}',
            "client Trusted: the setting trusted is called so; choose another name",
        ),
        (
            f'{DEV}[clients.Dev]\nkeys = ["{NEXT}"]',
            "client Dev: its name differs from that of client dev in letter case only",
        ),
        (
            f'clients.{KEY} = {{ keys = ["{LINE}"] }}',
            "client 'wxk_***': name must not begin as a key does",
        ),
        (f'clients.{KEY}.kys = ["{LINE}"]', "client wxk_***: kys is no setting"),
        (f"clients.{KEY} = 1", "client wxk_***: must be a table, [clients.NAME]"),
        (f"[clients.{KEY}]\n[clients.{KEY}]", "no TOML: Cannot declare ('clients', 'wxk_***') twice"),
        (
            f'{DEV}[clients.two]\nkeys = ["{NEXT}", "{LINE} until 2027-01-31"]',
            f"client two: keys: {Key.of(KEY).id} is a key of client dev already",
        ),
    ],
)
def test_a_client_that_cannot_be_is_refused(refused, text, message):
    assert refused(text).startswith(f"wx.toml: {message}")


def test_a_client_may_have_a_key_twice(read):
    (dev,) = read(f'clients.dev = {{ keys = ["{LINE}", "{LINE}"] }}')
    assert dev.keys == (LINE, LINE)


def test_a_client_in_two_files_is_refused(refused, folder):
    (folder / "more.toml").write_text(DEV)
    assert refused(f'include = ["more.toml"]\n{DEV}') == "more.toml: client dev: stands in wx.toml already"


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("WXTOKEN_CLIENTS__DEV__KEYS", KEY, f": client dev: keys: {ITSELF}"),
        ("WXTOKEN_CLIENTS__DEV__KEYS", f"[{KEY}]", ": client dev: keys must be a list of texts"),
        ("WXTOKEN_CLIENTS__DEV__KEYLESS", "yes", ": client dev: keyless: it excludes keys and keys_file"),
        ("WXTOKEN_CLIENTS__DEV__ACCOUNTS", "", f": client dev: accounts {ONE}: all, not []"),
        ("WXTOKEN_CLIENTS__DEV__MAY", " , ", f": client dev: may {ONE}: read, refresh and js-config, not []"),
        ("WXTOKEN_CLIENTS__DEV__NETWORKS", "[]", f": client dev: networks {ONE}: from anywhere, with a key"),
        ("WXTOKEN_CLIENTS__DEV__KEYLESS", KEY, ": client dev: keyless must be true or false, not 'wxk_***'"),
        ("WXTOKEN_CLIENTS__DEVV__NETWORKS", "::1", f": client devv: {MISSING}; did you mean client dev?"),
        (
            "WXTOKEN_CLIENTS__DEV__KEYS_FILE",
            "none",
            ": client dev: keys_file: 'none' cannot be read: No such",
        ),
        ("WXTOKEN_CLIENTS__DEV__ACCOUNTS", "shop", ": client dev: accounts: 'shop' is no account"),
        ("WXTOKEN_CLIENTS__DEVV__MAY", "read", f": client devv: {MISSING}; did you mean client dev?"),
        ("WXTOKEN_CLIENTS__DEV__KEY", "x", ": client dev: key is no setting; did you mean keys?"),
        ("WXTOKEN_CLIENTS__DEV", "x", ": write WXTOKEN_CLIENTS__NAME__SETTING, with two underscores before"),
        ("WXTOKEN_CLIENT_DEV_KEYS", "x", " is no setting; write WXTOKEN_CLIENTS__NAME__SETTING, with two"),
    ],
)
def test_a_wrong_variable_is_named(refused, variable, text, message):
    assert refused(DEV, **{variable: text}).startswith(f"{variable}{message}")


def test_a_key_in_a_variable_s_name_is_not_repeated(refused):
    name = f"WXTOKEN_CLIENTS__{KEY.replace('-', '_').upper()}__KEYS"
    said = refused("", **{name: LINE})
    assert said == "WXTOKEN_CLIENTS__wxk_***: client 'wxk_***': name must not begin as a key does"
    assert refused("", **{f"WXTOKEN_{KEY}": "x"}) == "WXTOKEN_wxk_*** is no setting"


def test_a_close_name_is_found_whatever_its_letter_case(refused):
    text = f'clients.SHOP-WEB = {{ keys = ["{LINE}"] }}'
    assert refused(text, WXTOKEN_CLIENTS__SHOPWEB__MAY="read").endswith("; did you mean client SHOP-WEB?")


def test_a_variable_that_fits_two_clients_is_refused(refused):
    text = f'clients.a-b = {{ keys = ["{LINE}"] }}\nclients."a.b" = {{ keys = ["{NEXT}"] }}'
    said = refused(text, WXTOKEN_CLIENTS__A_B__MAY="read")
    assert said == "WXTOKEN_CLIENTS__A_B__MAY: fits more than one client: a-b, a.b"


def test_a_key_of_two_clients_is_blamed_on_the_variable_that_brought_it(refused):
    said = refused(DEV, WXTOKEN_CLIENTS__TWO__KEYS=LINE)
    assert said.startswith("WXTOKEN_CLIENTS__TWO__KEYS: client two: keys: ")
