"""What came of each run, kept in a file: a long row of runs that was broken off goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import wxtoken_asgi

from simulation.world import Result, Run

TESTS = Path(__file__).parent.parent
SOURCES = (Path(wxtoken_asgi.__file__).parent, TESTS / "simulation", TESTS / "support")


class Saved:
    """The results of runs of this very code: a change of the package, of the simulation or of what supports
    it begins anew.

    Args:
        path: the file, a line for each run; None: nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._code = _digest()
        text = path.read_text(encoding="utf-8") if path is not None and path.exists() else ""
        self._apart = "\n" if text and not text.endswith("\n") else ""
        whole = filter(None, map(_parsed, text.splitlines()))
        self._results = {_key(one["code"], one["run"]): Result(**one["result"]) for one in whole}

    def find(self, run: Run) -> Result | None:
        """What came of this run before."""
        return self._results.get(_key(self._code, asdict(run)))

    def keep(self, run: Run, result: Result) -> None:
        """Write it down at once; not that its process died, which is to be tried again."""
        if self._path is None or not result.trace:
            return
        with self._path.open("a", encoding="utf-8") as file:
            line = {"code": self._code, "run": asdict(run), "result": asdict(result)}
            file.write(self._apart + json.dumps(line) + "\n")
        self._apart = ""


def _parsed(line: str) -> Any:
    """What a line says; None: whoever wrote it was broken off."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _key(code: str, run: object) -> str:
    return json.dumps([code, run], sort_keys=True)


def _digest() -> str:
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
