"""Intermediate representation of an update rule: symbols, traced programs and register assignment."""

from mxtrain.optim.ir.program import Instruction, Operand, Program, Scalar
from mxtrain.optim.ir.rule_program import GradientStage, gradient_program, update_program
from mxtrain.optim.ir.symbols import COMPARISONS, Symbol, absolute, maximum, minimum, sqrt, where
from mxtrain.optim.ir.trace import trace

__all__ = [
    "COMPARISONS",
    "GradientStage",
    "Instruction",
    "Operand",
    "Program",
    "Scalar",
    "Symbol",
    "absolute",
    "gradient_program",
    "maximum",
    "minimum",
    "sqrt",
    "trace",
    "update_program",
    "where",
]
