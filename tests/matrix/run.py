"""Run the whole matrix: python tests/matrix/run.py [WORD ...] (only cells whose names hold all the words).

Prints a table, then the cells that cannot exist with their reasons, then what went wrong. The exit code
is 1 if anything did.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from matrix_cells import APPS, MODES, SERVERS, Cell, all_cells
from matrix_drive import Result, run_cell, sandbox

_WIDTH = 19


def _mark(cell: Cell, results: dict[Cell, Result]) -> str:
    if cell.impossible is not None:
        return "-"
    result = results.get(cell)
    if result is None:
        return ""
    if result.faults:
        return "WRONG"
    return f"{'serves' if result.outcome.serves else 'refuses'} ({result.outcome.code})"


def _print_table(results: dict[Cell, Result]) -> None:
    print(f"{'':24}" + "".join(f"{server:{_WIDTH}}" for server in SERVERS))
    for app in APPS:
        for mode in MODES:
            marks = (_mark(Cell(server, app, mode), results) for server in SERVERS)
            print(f"{app + ' ' + mode:24}" + "".join(f"{mark:{_WIDTH}}" for mark in marks).rstrip())


def _print_impossible(cells: list[Cell]) -> None:
    by_reason = defaultdict(set)
    for cell in cells:
        if cell.impossible is not None:
            where = "hypercorn trio: " if cell.on_trio and "asyncio" in cell.impossible else ""
            by_reason[cell.impossible].add(f"{where}{cell.app} {cell.mode}")
    print("\nCells that cannot exist (-):")
    for reason, names in by_reason.items():
        print(f"  {reason}: {', '.join(sorted(names))}")


def _print_faults(result: Result) -> None:
    print(f"\n{result.cell}: {result.outcome}")
    for fault in result.faults:
        print(f"  {fault}")
    print("  " + "\n  ".join(result.output.splitlines()[-25:]))


def main(words: list[str]) -> int:
    cells = [cell for cell in all_cells() if all(word in str(cell) for word in words)]
    started = time.monotonic()
    possible = [cell for cell in cells if cell.impossible is None]
    with sandbox() as api_base, ThreadPoolExecutor(os.cpu_count()) as pool:
        results = {r.cell: r for r in pool.map(lambda cell: run_cell(cell, api_base), possible)}
    wrong = [result for result in results.values() if result.faults]
    _print_table(results)
    _print_impossible(cells)
    for result in wrong:
        _print_faults(result)
    print(f"\n{len(results)} cells, {len(wrong)} wrong, {time.monotonic() - started:.0f} s")
    return 1 if wrong or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
