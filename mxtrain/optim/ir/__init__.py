"""Intermediate representation of an update rule: symbols, traced programs and register assignment."""

from mxtrain.optim.ir.program import Instruction, Operand, Program, Scalar, assign_registers
from mxtrain.optim.ir.symbols import (
    COMPARISONS,
    GradientStage,
    Symbol,
    absolute,
    gradient_program,
    maximum,
    minimum,
    sqrt,
    trace,
    update_program,
    where,
)

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
