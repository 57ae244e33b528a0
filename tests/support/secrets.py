"""Every secret that a test run uses, and the search for it in what the run left behind."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

HEAD: Final = 12
"""So many characters of a secret are enough to call it a leak."""

_SHAPE: Final = re.compile(r"\b\d{1,4}_[\w-]{100,}|(?<![\w-])[\w-]{86}(?![\w-])")
_VALUE: Final = re.compile(rb'"(access_token|ticket)":"([\w-]{16,})')


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret that was found.

    Args:
        where: the file, or what a test called the text.
        what: which secret, in words.
        form: how it was written there.
    """

    where: str
    what: str
    form: str


@dataclass(slots=True)
class Vault:
    """Knows the secrets of a run, and where to look for them.

    Secrets stand in it with all the forms in which they are searched. Places are folders, of which
    every file's name and content is searched, and texts that tests have heard.
    """

    _forms: dict[bytes, tuple[str, str]] = field(default_factory=dict, repr=False)
    _folders: list[Path] = field(default_factory=list)
    _heard: list[tuple[str, bytes]] = field(default_factory=list, repr=False)
    _known: set[str] = field(default_factory=set, repr=False)

    def new(self, what: str, *, plain: bool = False) -> str:
        """A new secret.

        Args:
            what: whose, in words.
            plain: like WeChat's own, 32 hexadecimal digits; else with characters that look different in
                a URL and in base64.
        """
        odd = "" if plain else "+/%&="
        return self.add(what, f"{secrets.token_hex(8)}{odd}{secrets.token_hex(8)}")

    def add(self, what: str, value: str) -> str:
        """Remember a secret, given as it is."""
        if value not in self._known:
            self._known.add(value)
            for name, form in forms(value):
                self._forms.setdefault(form, (what, name))
        return value

    def learn(self, body: bytes) -> None:
        """Remember the tokens and tickets in an answer of WeChat's, whole or broken off."""
        for kind, value in _VALUE.findall(body):
            self.add(kind.decode(), value.decode())

    def watch(self, folder: Path) -> Path:
        """Search this folder at the end."""
        self._folders.append(folder)
        return folder

    def hear(self, where: str, text: str | bytes) -> None:
        """Search this text at the end."""
        self._heard.append((where, text.encode() if isinstance(text, str) else text))

    def __len__(self) -> int:
        return len(self._known)

    def places(self) -> Iterator[tuple[str, bytes]]:
        """All texts to be searched, with their names.

        Raises:
            AssertionError: a folder is gone, so that nobody can know what was in it.
        """
        yield from self._heard
        for folder in self._folders:
            assert folder.is_dir(), f"{folder.name} was removed before it was searched"
            for path in sorted(folder.rglob("*")):
                name = f"{folder.name}/{path.relative_to(folder)}"
                yield f"the name of {name}", name.encode()
                if path.is_file():
                    yield name, path.read_bytes()

    def leaks(self) -> list[Leak]:
        """What was found, in all places."""
        return [
            Leak(where, what, form)
            for where, text in self.places()
            for needle, (what, form) in self._forms.items()
            if needle in text
        ]


def value_shaped(text: str) -> list[str]:
    """The words of a text that look like a token or a ticket of the sandbox's, whoever got them."""
    return _SHAPE.findall(text)


def forms(value: str) -> Iterator[tuple[str, bytes]]:
    """A secret as it may have been written, with the name of each form."""
    head = value[:HEAD]
    yield "raw", value.encode()
    yield f"its first {HEAD} characters", head.encode()
    yield "percent-encoded", quote(value, safe="").encode()
    yield "percent-encoded in small letters", quote(value, safe="").lower().encode()
    yield "percent-encoded throughout", "".join(f"%{byte:02X}" for byte in head.encode()).encode()
    yield "in hexadecimal", head.encode().hex().encode()
    for before in range(3):
        yield "base64", _base64(value, before)
        yield "base64", _base64(value, before).translate(bytes.maketrans(b"+/", b"-_"))
        yield f"base64 of its first {HEAD} characters", _base64(head, before)


def _base64(value: str, before: int) -> bytes:
    """What is the same of its base64 whatever stands around it, `before` bytes into a group of three."""
    raw = bytes(before) + value.encode()
    encoded = base64.b64encode(raw).rstrip(b"=")
    end = len(encoded) - (len(raw) % 3 != 0)
    return encoded[(0, 2, 3)[before] : end]
