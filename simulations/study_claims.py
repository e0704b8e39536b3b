"""Claims: what the answer of a study says in words, as comparisons of what was measured.

A page tells which do not hold.

    claims = ["{loss 0.2|latency_p99} < 1.5 * {loss 0|latency_p99}", "0.8 < {a|cpu} / {b|cpu} < 1.25"]

Numbers, `+ - * /`, comparisons, `and` and `or`; `{variant|measure}` is a mean over the seeds, as in the answer, and
`{variant|measure bound}` what no protocol can do better.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulations.errors import SetupError

BOUND = " bound"  # behind the name of a measure
PLACE = re.compile(r"\{([^{}|]+)\|([^{}|]+)\}")
Mean = Callable[[str, str], float | None]  # of a variant and a measure; None: it was not measured

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Claim:
    """One comparison.

    Raises:
        SetupError: it is none.
    """

    text: str

    def __post_init__(self) -> None:
        """Look at it before anything is run for it."""
        tree = self._tree
        if not isinstance(tree, ast.Compare | ast.BoolOp):
            raise SetupError(f"study.claims: {self.text!r} compares nothing")
        names = {f"place{number}": 1.0 for number in range(len(self.places))}
        try:
            _value(tree, names)
        except ZeroDivisionError:
            pass
        except _Unknown as error:
            raise SetupError(f"study.claims: {self.text!r} has {error}, which is no comparison of numbers") from error

    @property
    def places(self) -> list[tuple[str, str]]:
        """The variants and measures that it speaks of."""
        return [(label.strip(), name.strip()) for label, name in PLACE.findall(self.text)]

    @property
    def _tree(self) -> ast.expr:
        numbers = iter(range(len(self.places)))
        try:
            return ast.parse(PLACE.sub(lambda found: f" place{next(numbers)} ", self.text).strip(), mode="eval").body
        except SyntaxError as error:
            raise SetupError(f"study.claims: {self.text!r} is no comparison: {error.msg}") from error

    def objection(self, mean: Mean) -> str:
        """Return why it does not hold; "": it does."""
        values = {}
        for number, (label, name) in enumerate(self.places):
            value = mean(label, name)
            if value is None:
                return f"{self.text}: {name} of {label!r} was not measured"
            values[f"place{number}"] = value
        try:
            holds = bool(_value(self._tree, values))
        except ZeroDivisionError:
            return f"{self.text}: that divides by 0"
        if holds:
            return ""
        found = iter(values.values())
        return f"{self.text}: not so, that is {PLACE.sub(lambda _: f'{next(found):.4g}', self.text)}"


class _Unknown(Exception):
    pass


def _value(node: ast.AST, names: dict[str, float]) -> Any:
    match node:
        case ast.Constant(value=int() | float()):
            return node.value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, names), _value(right, names))
        case ast.BoolOp(op=joined, values=parts):
            told = [_value(part, names) for part in parts]
            return all(told) if isinstance(joined, ast.And) else any(told)
        case ast.Compare(left=first, ops=ops, comparators=others) if all(type(op) in _OPERATORS for op in ops):
            sides = [_value(side, names) for side in (first, *others)]
            return all(
                _OPERATORS[type(op)](left, right) for op, left, right in zip(ops, sides, sides[1:], strict=False)
            )
    raise _Unknown(repr(ast.unparse(node)))


__all__ = ["BOUND", "Claim"]
