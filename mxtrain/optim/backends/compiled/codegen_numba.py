"""Code generation for Numba: a program as a Python loop over the elements of many arrays."""

from mxtrain.optim.backends.compiled.codegen_counts import count_imports, count_lines
from mxtrain.optim.backends.compiled.codegen_values import PYTHON_EXPRESSIONS, indent, value_lines
from mxtrain.optim.backends.scalar_statements import ScalarStatements
from mxtrain.optim.ir import MultiPassProgram, Operand, Pass, Program
from mxtrain.optim.ir.counting import count_of
from mxtrain.optim.ir.summation import LANES, ROWS, SUM_BLOCK

_SLOW_OPERATIONS = {"divide", "sqrt"}
_BLOCKS_TOGETHER = 4
"""Number of blocks that are reduced at once where one array is read: a core reads several streams faster than one."""


def generate_numba_pass_source(program: MultiPassProgram, step: Pass, dtype: str) -> str:
    """Generate a module with one function, `loop(s, table, starts, row, low, high)`, over blocks of many arrays.

    It differs from that of `generate_numba_source` in these points. Blocks of 4,096 elements are numbered consecutively
    over all rows, and `starts[row]` is the number of the first block of a row. `s` holds float64 numbers: the place of
    the records in `s`, that of the results of blocks, and the scalars of the host. The scalars that depend on
    reductions are computed once for each row, from its record. The result of each block is written to `s`, in the order
    of `mxtrain.optim.ir.summation`.
    """
    traced = step.program
    counted = count_of(traced)
    count = len(traced.arrays)
    leaves = {scalar: f"s[{2 + number}]" for scalar, number in program.scalar_numbers.items()}
    leaves |= {leaf: f"s[record + {column}]" for leaf, column in program.record_columns.items()}
    statements = ScalarStatements(leaves, PYTHON_EXPRESSIONS, "{} = {}")
    names = [statements.name(scalar) for scalar in traced.scalars]
    lines = [
        f'"""The pass {traced.name}({", ".join(traced.arrays)}), printed by mxtrain for Numba to compile."""',
        "from math import sqrt",
        f"from numpy import empty, float64 as F, {dtype} as T",
        *([count_imports(dtype)] if counted else []),
        "",
        "",
        "def loop(s, table, starts, row, low, high):",
        "    records, partials = int(s[0]), int(s[1])",
        *([] if counted else _buffer_lines(traced)),
        "    while starts[row] < high:",
        "        first, beyond = max(low, starts[row]) - starts[row], min(high, starts[row + 1]) - starts[row]",
        f"        record = records + {program.record_width} * row",
        "        size = int(s[record])",
        *(f"        a{i} = table[{count} * row + {i}]  # {name}" for i, name in enumerate(traced.arrays)),
        *(f"        {line}" for line in statements.lines),
        *(f"        s{i} = T({name})  # {traced.scalars[i]}" for i, name in enumerate(names)),
    ]
    loop = count_lines(counted, dtype) if counted else _loop_lines(traced)
    return "\n".join([*lines, *loop, "        row += 1"]) + "\n"


def _buffer_lines(traced: Program) -> list[str]:
    """Return the allocation of the lanes, and of the summands that are stored for them."""
    if not traced.reductions:
        return []
    lanes = len(traced.reductions) * _blocks_together(traced)
    stored = len(_stored_summands(traced))
    terms = [f"    terms = empty(({stored}, {LANES}), T)"] if stored else []
    return [f"    lanes = empty(({lanes}, {LANES}))", *terms]


def _loop_lines(traced: Program) -> list[str]:
    """Return the loop over the blocks of a row, or over its elements if the pass has no reductions."""
    if not traced.reductions:
        return [
            f"        for i in range({SUM_BLOCK} * first, min({SUM_BLOCK} * beyond, size)):",
            *indent([*value_lines(traced), *_output_lines(traced)], 3),
        ]
    together = _blocks_together(traced)
    several = [
        f"            if block + {together} <= beyond and {SUM_BLOCK} * (block + {together}) <= size:",
        *indent(_reduce_blocks(traced, together, str(LANES)), 4),
        "                continue",
    ]
    return [
        "        block = first",
        "        while block < beyond:",
        *(several if together > 1 else []),
        f"            if {SUM_BLOCK} * (block + 1) <= size:",  # a constant number of lanes compiles to faster code
        *indent(_reduce_blocks(traced, 1, str(LANES)), 4),
        "            else:",
        *indent(_reduce_blocks(traced, 1, f"max(min({LANES}, size - start), 0)"), 4),
    ]


def _blocks_together(traced: Program) -> int:
    """Return the number of blocks that one round of the loop reduces."""
    return _BLOCKS_TOGETHER if len(traced.read) == 1 else 1


def _reduce_blocks(traced: Program, together: int, lanes: str) -> list[str]:
    """Return the statements that reduce the next blocks, store their results, and advance `block`."""
    count = len(traced.reductions)
    joins = [
        f"    {_join_lanes(block * count + number, each.operation)}"
        for block in range(together)
        for number, each in enumerate(traced.reductions)
    ]
    return [
        f"for j in range({LANES}):",
        *(f"    lanes[{lane}, j] = 0.0" for lane in range(count * together)),
        f"for line in range({ROWS}):",
        f"    start = {SUM_BLOCK} * block + {LANES} * line",
        *indent(_add_lines(traced, together, lanes), 1),
        f"half = {LANES // 2}",
        "while half:",
        "    for j in range(half):",
        *indent(joins, 1),
        "    half //= 2",
        f"result = partials + {count} * (starts[row] + block)",
        *(f"s[result + {lane}] = lanes[{lane}, 0]" for lane in range(count * together)),
        f"block += {together}",
    ]


def _add_lines(traced: Program, together: int, lanes: str) -> list[str]:
    """Return the statements that process one line of each block, and add it to the lanes.

    A loop that computes in float64 gets vectors of half as many elements as one in float32. So slow operations get a
    loop of their own, which stores the summands for the loop that adds them.
    """
    stored = {operand: f"terms[{number}, j]" for number, operand in enumerate(_stored_summands(traced))}
    lines: list[str] = []
    for block in range(together):
        index = "i = start + j" if block == 0 else f"i = start + j + {SUM_BLOCK * block}"
        sums = [
            _accumulate(
                block * len(traced.reductions) + number,
                each.operation,
                *(stored.get(operand, str(operand)) for operand in each.operands),
            )
            for number, each in enumerate(traced.reductions)
        ]
        values, outputs = value_lines(traced), _output_lines(traced)
        if stored:
            stores = [f"{place} = {operand}" for operand, place in stored.items()]
            loop = f"for j in range({lanes}):"
            lines += [loop, *indent([index, *values, *stores, *outputs], 1), loop, *indent(sums, 1)]
        else:
            lines += [index, *values, *sums, *outputs]
    return lines if stored else [f"for j in range({lanes}):", *indent(lines, 1)]


def _stored_summands(traced: Program) -> list[Operand]:
    """Return the values that are stored before they are added up; none if no operation is slow."""
    if not traced.reductions or _SLOW_OPERATIONS.isdisjoint(each.operation for each in traced.instructions):
        return []
    operands = dict.fromkeys(operand for each in traced.reductions for operand in each.operands)
    return [operand for operand in operands if operand.space != "scalar"]


def _output_lines(traced: Program) -> list[str]:
    return [f"a{number}[i] = {value}" for number, value in traced.outputs]


def _accumulate(number: int, operation: str, x: str, y: str = "") -> str:
    lane = f"lanes[{number}, j]"
    match operation:
        case "sum":
            return f"{lane} += F({x})"
        case "dot":
            return f"{lane} += F({x}) * F({y})"
    return f"{lane} = {_larger(lane, f'F(abs({x}))')}"


def _join_lanes(number: int, operation: str) -> str:
    lane, other = f"lanes[{number}, j]", f"lanes[{number}, j + half]"
    return f"{lane} = {_larger(lane, other)}" if operation == "max_abs" else f"{lane} += {other}"


def _larger(a: str, b: str) -> str:
    return PYTHON_EXPRESSIONS["maximum"].format(a, b)


def generate_numba_half_source(program: Program, dtype: str, *, converts_gradient: bool, has_master: bool) -> str:
    """Generate the module of `generate_numba_source` for weights of half precision, of which slots are float32.

    Its `table` holds addresses as int64 numbers. The weight, array 0, is converted where it is read, and rounded where
    it is written. With a master copy, array 0 is that copy, and the weight follows the other arrays.

    Args:
        program: the program; its arrays are the weight, the gradient and the slots.
        dtype: the dtype of the weight, `float16` or `bfloat16`.
        converts_gradient: the gradient has this dtype too, else float32.
        has_master: there is a float32 copy of the weight.
    """
    count = len(program.arrays)
    half = {number for number, is_half in ((0, not has_master), (1, converts_gradient)) if is_half}
    kinds = ["uint16(0)" if number in half else "float32(0)" for number in range(count)]
    outputs = [f"a{i}[i] = {f'encode({value})' if i in half else value}" for i, value in program.outputs]
    if has_master:
        kinds.append("uint16(0)")
        outputs += [f"a{count}[i] = encode({value})" for i, value in program.outputs if i == 0]
    lines = [
        f'"""The update {program.name}({", ".join(program.arrays)}), printed by mxtrain for Numba to compile."""',
        "from math import sqrt",
        "from numpy import float32, uint16",
        "from mxtrain.optim.backends.compiled.numba_intrinsics import as_pointer_to",
        f"from mxtrain.optim.backends.compiled.numba_half import decode_{dtype} as decode, encode_{dtype} as encode",
        "",
        "",
        "def loop(s, table, starts, row, low, high):",
        *(f"    s{i} = s[{i}]  # {scalar}" for i, scalar in enumerate(program.scalars)),
        "    while starts[row] < high:",
        "        start = starts[row]",
        *(f"        a{i} = as_pointer_to(table[{len(kinds)} * row + {i}], {kind})" for i, kind in enumerate(kinds)),
        "        row += 1",
        "        for i in range(max(low - start, 0), min(high, starts[row]) - start):",
        *(f"            x{i} = {f'decode(a{i}[i])' if i in half else f'a{i}[i]'}" for i in program.read),
        *(
            f"            t{number} = {PYTHON_EXPRESSIONS[each.operation].format(*each.operands)}"
            for number, each in enumerate(program.instructions)
        ),
        *(f"            {line}" for line in outputs),
    ]
    return "\n".join(lines) + "\n"


def generate_numba_source(program: Program) -> str:
    """Generate a module with one function, `loop(s, table, starts, row, low, high)`, over elements of many arrays.

    `s` holds the scalars. Each row of `table` holds the addresses of one group of the program's arrays. Elements are
    numbered consecutively over all rows, and `starts[row]` is the number of the first element of a row. The loop
    processes the elements `low` to `high - 1`; `row` is the row of `low`.

    Every operation is a separate statement, so that nothing is contracted or reordered. All arrays are read before any
    is written, element by element.
    """
    count = len(program.arrays)
    lines = [
        f'"""The update {program.name}({", ".join(program.arrays)}), printed by mxtrain for Numba to compile."""',
        "from math import sqrt",
        "",
        "",
        "def loop(s, table, starts, row, low, high):",
        *(f"    s{i} = s[{i}]  # {scalar}" for i, scalar in enumerate(program.scalars)),
        "    while starts[row] < high:",
        "        start = starts[row]",
        *(f"        a{i} = table[{count} * row + {i}]  # {name}" for i, name in enumerate(program.arrays)),
        "        row += 1",
        "        for i in range(max(low - start, 0), min(high, starts[row]) - start):",
        *(f"            x{i} = a{i}[i]" for i in program.read),
    ]
    for number, step in enumerate(program.instructions):
        expression = PYTHON_EXPRESSIONS[step.operation].format(*step.operands)
        lines.append(f"            t{number} = {expression}")
    lines += [f"            a{number}[i] = {value}" for number, value in program.outputs]
    return "\n".join(lines) + "\n"
