"""Intermediate representation of an update rule: symbols, traced programs and register assignment."""

from mxtrain.optim.ir.program import Instruction, Operand, Program, Scalar, assign_registers
from mxtrain.optim.ir.symbols import COMPARISONS, Symbol, absolute, maximum, minimum, sqrt, where
from mxtrain.optim.ir.trace import GradientStage, gradient_program, trace, update_program

__all__ = [
    "COMPARISONS",
    "GradientStage",
    "Instruction",
    "Operand",
    "Program",
    "Scalar",
    "Symbol",
    "absolute",
    "assign_registers",
    "gradient_program",
    "maximum",
    "minimum",
    "sqrt",
    "trace",
    "update_program",
    "where",
]
