"""What came of each run, kept in a file: a long row of runs that was broken off goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import wxtoken_asgi

from simulation.world import Result, Run

SOURCES = (Path(wxtoken_asgi.__file__).parent, Path(__file__).parent)


class Saved:
    """The results of runs of this very code: a change of the package or of the simulation begins anew.

    Args:
        path: the file, a line for each run; None: nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._code = _digest()
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else ()
        whole = filter(None, map(_parsed, lines))
        self._results = {_key(one["code"], one["run"]): Result(**one["result"]) for one in whole}

    def find(self, run: Run) -> Result | None:
        """What came of this run before."""
        return self._results.get(_key(self._code, asdict(run)))

    def keep(self, run: Run, result: Result) -> None:
        """Write it down at once."""
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            line = {"code": self._code, "run": asdict(run), "result": asdict(result)}
            file.write(json.dumps(line) + "\n")


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
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
