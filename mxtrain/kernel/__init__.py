"""A rule, written once and traced once, becomes a straight-line program that every backend runs."""

from mxtrain.kernel.gradient import GradientStage
from mxtrain.kernel.program import Instruction, Operand, Program, Scalar
from mxtrain.kernel.symbols import Symbol, absolute, maximum, minimum, sqrt, where
from mxtrain.kernel.trace import keyword_names, trace

__all__ = [
    "GradientStage",
    "Instruction",
    "Operand",
    "Program",
    "Scalar",
    "Symbol",
    "absolute",
    "keyword_names",
    "maximum",
    "minimum",
    "sqrt",
    "trace",
    "where",
]
