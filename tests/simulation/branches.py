"""How often each branch of the policy is taken: its functions get the same code, which tells of it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from wxtoken_asgi import policy

from simulation.chance import Tally

TOLD, CHOSEN = "_told", "_chosen"


class _Telling(ast.NodeTransformer):
    """Lets each condition, and each `min` and `max`, say how it went.

    Attributes:
        branches: the names of all that can be counted.
    """

    def __init__(self) -> None:
        self.branches: list[str] = []
        self._within: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._enter(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._enter(node)

    def _enter(self, node: ast.ClassDef | ast.FunctionDef) -> ast.AST:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._condition(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._condition(node)

    def _condition(self, node: ast.If | ast.IfExp) -> ast.AST:
        name = self._named(f"if {ast.unparse(node.test)}")
        self.branches += [f"{name}: yes", f"{name}: no"]
        self.generic_visit(node)
        node.test = _call(TOLD, ast.Constant(name), node.test)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not isinstance(node.func, ast.Name) or node.func.id not in {"min", "max"} or not self._within:
            return self.generic_visit(node)
        names = [self._named(f"{node.func.id} is {ast.unparse(arg)}") for arg in node.args]
        self.branches += names
        self.generic_visit(node)
        words: list[ast.expr] = [ast.Constant(name) for name in names]
        return _call(CHOSEN, node.func, ast.Tuple(words, ast.Load()), *node.args)

    def _named(self, what: str) -> str:
        return f"policy {'.'.join(self._within)}: {what}"


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), list(arguments), [])


def count(tally: Tally) -> None:
    """Count every branch that is taken in this process from now on; those that are not have a 0.

    Args:
        tally: where they are counted.
    """
    telling = _Telling()
    tree = ast.fix_missing_locations(telling.visit(ast.parse(inspect.getsource(policy))))
    for branch in telling.branches:
        tally.add(branch, 0)

    def told(branch: str, condition: Any) -> Any:
        tally.add(f"{branch}: {'yes' if condition else 'no'}")
        return condition

    def chosen(choose: Callable[..., float], branches: tuple[str, ...], *numbers: float) -> float:
        number = choose(*numbers)
        tally.add(branches[numbers.index(number)])
        return number

    vars(policy).update({TOLD: told, CHOSEN: chosen})
    for code in _codes(compile(tree, str(policy.__file__), "exec")):
        function = _resolve(code.co_qualname)
        if isinstance(function, FunctionType):
            function.__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _resolve(name: str) -> object:
    found: object = policy
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
