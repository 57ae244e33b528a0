"""Hooks for `wxtoken serve` whose import waits in each worker until all are there: they start as one.

Environment: STARTING_LINE is a folder; each worker leaves its process id there and waits for the file `go`.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

LONGEST_S = 30.0


def wait() -> None:
    line = Path(os.environ["STARTING_LINE"])
    (line / f"{os.getpid()}.here").touch()
    end = time.monotonic() + LONGEST_S
    while not (line / "go").exists() and time.monotonic() < end:
        time.sleep(0.005)


class Hooks:
    """`hooks = "starting_line:Hooks"`."""

    @staticmethod
    def on_token(event):
        pass


if multiprocessing.parent_process() is not None:  # the server itself only checks the configuration
    wait()
