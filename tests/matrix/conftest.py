"""The matrix's own modules are found by its tests, as they are by `run.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
