"""A rule, written once and traced once, becomes a straight-line program that every backend runs."""

from mxtrain.kernel.gradient import GradientStage
from mxtrain.kernel.program import Instruction, Operand, Program, Scalar
from mxtrain.kernel.rule_program import gradient_program, update_program
from mxtrain.kernel.symbols import COMPARISONS, Symbol, absolute, maximum, minimum, sqrt, where
from mxtrain.kernel.trace import trace

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
