"""The modules that read and run the pages are found by the tests beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from docs_wechat import Play


@pytest.fixture
def play(monkeypatch, tmp_path):
    """A sandbox in WeChat's place for programs that run in this process, and an empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return Play(monkeypatch)
