"""Runs the commands of the pages' console blocks, and compares what they print with what is shown.

In what is shown, `…` stands for anything on its line, and a line that is `…` alone for any lines. Commands
that serve run on free ports, in the background, once for all pages; the other commands are sent there.

Neither a shell nor curl is needed: a machine with Python alone passes the tests.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

GUARD_S: Final = 240
WXTOKEN: Final = (sys.executable, "-m", "wxtoken_asgi.command.cli")
SERVES: Final = {"wxtoken serve --sandbox": "8000", "wxtoken sandbox": "8001"}
"""The commands that serve, and the port that the pages show them with."""

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block, and the output that is shown below it."""

    line: str
    shown: str

    def shows(self, out: str) -> bool:
        """Whether the output is the one that is shown."""
        return bool(re.fullmatch(_pattern(self.shown), "".join(f"{line}\n" for line in out.splitlines())))


def commands(text: str) -> Iterator[Command]:
    """The commands of a block; each begins with `$ `."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        yield Command(line, shown)


def _pattern(shown: str) -> str:
    lines = (r"(?:.*\n)*" if line == "…" else _line(line) for line in shown.splitlines())
    return "".join(lines)


def _line(line: str) -> str:
    return r"[^\n]*".join(map(re.escape, line.split("…"))) + "\n"


def environ(folder: Path) -> dict[str, str]:
    """An environment without settings of ours; the user's state is in `folder`."""
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith("WXTOKEN_")}
    return clean | {"XDG_STATE_HOME": str(folder / "state")}


def _wxtoken(argv: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        [*WXTOKEN, *argv],
        cwd=folder,
        env=environ(folder),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout + done.stderr


def _curl(argv: Sequence[str]) -> str:
    """What curl prints, for the few of its options that the pages show."""
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-d", dest="body")
    parser.add_argument("url")
    args = parser.parse_args(argv)
    parts = urlsplit(args.url)
    path = parts._replace(scheme="", netloc="").geturl()
    headers = {} if args.body is None else {"Content-Type": "application/x-www-form-urlencoded"}
    method = args.method or ("GET" if args.body is None else "POST")
    with closing(HTTPConnection(parts.netloc, timeout=30)) as connection:
        connection.request(method, path, args.body, headers)
        answer = connection.getresponse()
        head = [
            f"HTTP/1.1 {answer.status} {answer.reason}",
            *(": ".join(pair) for pair in answer.getheaders()),
        ]
        return ("\n".join([*head, "", ""]) if args.i else "") + answer.read().decode()


@dataclass
class Servers:
    """The commands that serve, each started when a page first asks for it.

    Args:
        folder: where they run.
    """

    folder: Path
    ports: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    _running: list[tuple[subprocess.Popen[str], threading.Timer]] = field(default_factory=list)

    def run(self, command: Command, folder: Path) -> str:
        """What a command prints."""
        if command.line in SERVES:
            return self._serve(command.line)
        line = _ADDRESS.sub(lambda found: f"http://127.0.0.1:{self._port(found[1])}", command.line)
        match shlex.split(line):
            case ["curl", *options]:
                return self._shown(_curl(options))
            case ["wxtoken", *argv]:
                return self._shown(_wxtoken(argv, folder))
            case ["printf", text, ">", file]:
                (folder / file).write_text(text.replace("\\n", "\n"), encoding="utf-8")
                return ""
        raise AssertionError(f"this command is not known here: {line}")

    def end(self) -> list[int]:
        """End them; their exit codes."""
        codes = []
        for process, guard in self._running:
            process.send_signal(signal.SIGTERM)
            codes.append(process.wait(timeout=30))
            guard.cancel()
            process.stdout.close()
        return codes

    def _port(self, shown: str) -> str:
        if shown not in self.ports:
            [line] = [line for line, port in SERVES.items() if port == shown]
            self._serve(line)
        return self.ports[shown]

    def _shown(self, out: str) -> str:
        for shown, port in self.ports.items():
            out = out.replace(f"127.0.0.1:{port}", f"127.0.0.1:{shown}")
        return out

    def _serve(self, line: str) -> str:
        if line not in self.printed:
            process = subprocess.Popen(
                [*WXTOKEN, *shlex.split(line)[1:], "--port", "0"], cwd=self.folder,
                env=environ(self.folder), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            guard = threading.Timer(GUARD_S, process.kill)
            guard.start()
            self._running.append((process, guard))
            self.printed[line] = "".join(_until(process, "/sandbox/calls"))
            self.ports[SERVES[line]] = _ADDRESS.search(self.printed[line])[1]
        return self._shown(self.printed[line])


def _until(process: subprocess.Popen[str], last: str) -> Iterator[str]:
    for line in process.stdout:
        yield line
        if last in line:
            return
    raise AssertionError(f"it ended too early, with {process.wait()}")
