"""A real nginx in front of a test's servers: a child process with files of its own, on a loopback port."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from support.servers import wait_until

BELOW_THE_EPHEMERAL: Final = range(20_000, 32_000)
"""No outgoing connection and no `bind` to port 0 takes one of these."""

_BODIES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIG = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    {temporary}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {locations}
    }}
}}
"""


@contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 for a server that is to be started: nobody else who asks here is given it."""
    for port in random.sample(BELOW_THE_EPHEMERAL, 100):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # servers set it, and so may bind
            yield port
            return
    raise AssertionError("a hundred ports are taken")


def needs_nginx() -> str:
    """The program; skips the test where there is none."""
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return path or pytest.skip("needs nginx")


@contextmanager
def nginx(folder: Path, locations: Mapping[str, str]) -> Iterator[int]:
    """Run one; gives its port on 127.0.0.1.

    Args:
        folder: for all its files.
        locations: what stands in `location {...}`, by the path that it is for.
    """
    program = needs_nginx()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    argv = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    with held_port() as port, (folder / "output").open("wb") as output:
        config.write_text(_config(folder, port, locations))
        process = subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True)
        try:
            wait_until(lambda: process.poll() is not None or _listens(port), "nginx listens")
            assert process.poll() is None, (folder / "output").read_text()
            yield port
        finally:
            _end(process)


def _config(folder: Path, port: int, locations: Mapping[str, str]) -> str:
    """Its configuration. Where root runs it, root's sockets and folders are not for the usual `nobody`."""
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    temporary = "\n    ".join(f"{sort}_temp_path {folder}/{sort};" for sort in _BODIES)
    blocks = "\n        ".join(f"location {path} {{ {text} }}" for path, text in locations.items())
    return _CONFIG.format(user=user, folder=folder, temporary=temporary, port=port, locations=blocks)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, workers too; kill what does not."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
