"""The files that a configuration comes from, and whether they are still what they were."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path

State = tuple[tuple[bytes, ...], tuple[tuple[str, ...], ...]]


class Files:
    """Reads files, and remembers which they were and what was in them.

    Contents are compared and not times: a Kubernetes mount swaps a symbolic link, and a file that is written
    to twice in one tick of its file system's clock has one time. No content is kept, only its digest.

    Attributes:
        notes: what is odd in them, in lines for a log.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._read: dict[Path, bytes] = {}
        self._found: dict[str, tuple[str, ...]] = {}

    def read(self, path: Path) -> bytes:
        """A file's content.

        Raises:
            OSError: it cannot be read; that is remembered too.
        """
        self._read[path] = b""
        content = path.read_bytes()
        self._read[path] = _digest(content)
        return content

    def find(self, pattern: str) -> list[str]:
        """The files that a pattern names now, in order."""
        self._found[pattern] = _find(pattern)
        return list(self._found[pattern])

    @property
    def then(self) -> State:
        """What they were when they were read."""
        return tuple(self._read.values()), tuple(self._found.values())

    def now(self) -> State:
        """What the same files are now; equal to `then` unless one has changed, has come or is gone."""
        return tuple(_look(path) for path in self._read), tuple(_find(pattern) for pattern in self._found)


def _look(path: Path) -> bytes:
    try:
        return _digest(path.read_bytes())
    except OSError:
        return b""


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _find(pattern: str) -> tuple[str, ...]:
    # Path.glob takes no absolute pattern.
    return tuple(sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207
