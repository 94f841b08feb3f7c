"""Programs of updates whose gradient is multiplied by an array of factors."""

from functools import cache

from mxtrain.optim.ir.program import Instruction, Operand, Program


@cache
def with_factors(program: Program) -> Program:
    """Return the program of an update with `g⊙factors` in place of the gradient; `factors` is its last array.

    >>> from mxtrain.optim.rules import SGD
    >>> print(with_factors(SGD(λ=0).program()))
    sgd_with_factors(W, g, factors)
      s0 = step    (host, float64)
      t0 = g * factors
      t1 = s0 * t0
      t2 = W + t1
      W ← t2
    """
    product = Instruction("multiply", (Operand("array", 1), Operand("array", len(program.arrays))))

    def moved(operand: Operand) -> Operand:
        if operand == Operand("array", 1):
            return Operand("value", 0)
        return Operand("value", operand.number + 1) if operand.space == "value" else operand

    steps = (Instruction(each.operation, (*map(moved, each.operands),)) for each in program.instructions)
    return Program(
        f"{program.name}_with_factors",
        (*program.arrays, "factors"),
        program.scalars,
        (product, *steps),
        tuple((array, moved(value)) for array, value in program.outputs),
    )
