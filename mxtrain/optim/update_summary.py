"""Description of an update: what surrounds the rule, in its order, and the bytes that each part moves."""

from collections.abc import Iterator, Mapping

from mxtrain.optim.groups.group import STEP_FIELDS
from mxtrain.optim.ir import AnyProgram, MatrixProgram, Program, Variant, describe_traffic
from mxtrain.optim.rules import MatrixRule, Rule
from mxtrain.optim.rules.wrappers import WRAPPER_FIELDS


def arrays_moved_by(rule: Rule) -> dict[str, float]:
    """Return the arrays that an update reads and writes, by the part of the update that does; averages are fractions.

    Parts that are fused into the passes of the rule count as the difference that they make. Adaptive clipping counts as
    in a step in which a column is clipped.

    >>> from mxtrain.optim.rules import SGD
    >>> arrays_moved_by(SGD(μ=0.9, ema={"decay": 0.9}, clip_norm=1, accumulate=2, lookahead={"period": 4}))
    {'sgd': 5, 'clip_norm': 2, 'accumulate': 3, 'lookahead': 0.5, 'ema': 2}
    """
    off = {"agc": None, "lookahead": None, "ema": None, "bounds": None, "clip_norm": None}
    bare = rule.model_copy(update=off | {"cautious": False, "skip_nonfinite": False, "accumulate": 1, "schedules": {}})
    moved: dict[str, float] = {rule.kind: _moved(bare)}
    count, masked = rule.accumulate, bare.model_copy(update={"cautious": rule.cautious})
    if rule.skip_nonfinite and not (rule.clip_norm is not None and count == 1):
        moved["skip_nonfinite"] = count
    if rule.clip_norm is not None:
        moved["clip_norm"] = 1 if count == 1 else 2
    if count > 1:  # a matrix rule, whose program does not state its passes, reads the sum once
        passes = _moved(masked.model_copy(update={"accumulate": count})) - _moved(masked)
        moved["accumulate"] = 2 + 3 * (count - 2) + (3 if rule.agc is not None else max(passes, 1))
    if rule.agc is not None:
        moved["agc"] = 4
    if rule.cautious:
        moved["cautious"] = _moved(bare.model_copy(update={"cautious": True})) - _moved(bare)
    if rule.bounds is not None:
        moved["bounds"] = _moved(masked.model_copy(update={"bounds": rule.bounds})) - _moved(masked)
    if rule.lookahead is not None:
        moved["lookahead"] = 2 / rule.lookahead.period
    if rule.ema is not None:
        moved["ema"] = 2
    return moved


def _moved(rule: Rule) -> int:
    program = rule.program()
    if isinstance(program, MatrixProgram):
        assert isinstance(rule, MatrixRule)
        return rule.arrays_moved
    return sum(each.arrays_moved for each in _passes(program))


def _passes(program: AnyProgram) -> list[Program]:
    if isinstance(program, MatrixProgram):
        return [program.final] if program.final is not None else []
    return [program] if isinstance(program, Program) else [each.program for each in program.passes]


def describe_update(rule: Rule) -> list[str]:
    """Return lines that describe the order of an update, and what each part outside of the rule's passes moves.

    Returns:
        No lines if the rule has no wrappers.
    """
    entries = list(_entries(rule))
    if not any(name in _WRAPPERS for name, _ in entries):
        return []
    width = max(len(name) for name, _ in entries)
    lines = ["Order of a step; bytes per element in float32:"]
    lines += [f"  {name:<{width}}  {text}" for name, text in entries]
    return [*lines, f"  {describe_total(rule)}"]


def describe_total(rule: Rule) -> str:
    """Return a line with the bytes that an update moves.

    >>> from mxtrain.optim.rules import Muon
    >>> describe_total(Muon())
    'an update moves 20 bytes per element in float32, 40 in float64'
    """
    total = sum(arrays_moved_by(rule).values())
    return f"an update moves {4 * total:.4g} bytes per element in float32, {8 * total:.4g} in float64"


_WRAPPERS = (*WRAPPER_FIELDS, "decoupled", "corrected", *STEP_FIELDS)


def _entries(rule: Rule) -> Iterator[tuple[str, str]]:
    moved = arrays_moved_by(rule)
    yield from _gradient_entries(rule, moved)
    yield from _weight_entries(rule, moved)


def _bytes(arrays: float) -> str:
    return f"{4 * arrays:.4g} bytes"


def _gradient_entries(rule: Rule, moved: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the parts of an update before the rule, with a description."""
    if rule.skip_nonfinite:
        with_norm = "in the same reading as clip_norm"
        reading = _bytes(moved["skip_nonfinite"]) if "skip_nonfinite" in moved else with_norm
        yield "skip_nonfinite", f"nothing changes if a gradient is not finite; reads g: {reading}"
    if rule.accumulate > 1:
        text = (
            f"g ← the mean of {rule.accumulate} gradients; {rule.accumulate - 1} calls only add to the slot accumulated"
        )
        yield "accumulate", f"{text}: {_bytes(moved['accumulate'])}"
    if rule.scale:
        yield "scale", f"g ← {rule.scale:g}·g"
    if rule.clip_norm is not None:
        yield (
            "clip_norm",
            f"g ← g·min(1, {rule.clip_norm:g}/‖g‖), over all parameters; reads g: {_bytes(moved['clip_norm'])}",
        )
    if rule.agc is not None:
        text = "clips the columns of g by the norms of those of W; reads W, g; a clipped copy reads and writes g"
        yield "agc", f"{text}: 8 or {_bytes(moved['agc'])}"
    if rule.clip:
        yield "clip", f"g ← min(max(g, -{rule.clip:g}), {rule.clip:g})"
    if rule.λ and not rule.decouples_decay():
        yield "λ", "g ← g + λ·W"
    if rule.bounds is not None:
        text = "g ← 0 where W is at a bound and the step against g points outwards"
        yield "bounds", f"{text}: {_bytes(moved['bounds'])}" if moved["bounds"] else text


def _weight_entries(rule: Rule, moved: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the rule and the parts of an update after it, with a description."""
    yield rule.kind, f"Δ: {_bytes(moved[rule.kind])}"
    if rule.cautious:
        yield (
            "cautious",
            f"Δ ← Δ⊙(k/max(mean(k), 0.001)), k = 1 where Δ and g have opposite signs: {_bytes(moved['cautious'])}",
        )
    if rule.decouples_decay() and rule.λ:
        factor = "(-η·λ·(η/ηmax))" if rule.corrects_decay else "(-η·λ)"
        name = "corrected" if rule.corrects_decay else "decoupled" if rule.wraps_decay else "λ"
        yield name, f"Δ ← {factor}·W + Δ, or as in the formula of the rule"
    if rule.bounds is not None:
        low, high = ("none" if bound is None else f"{bound:g}" for bound in rule.bounds)
        yield "bounds", f"W ← min(max(W + Δ, low), high), low {low}, high {high}"
    if rule.master:
        yield "master", "float16 and bfloat16 weights: W is a float32 copy in the state, from which they are rounded"
    if rule.row_updates == "own":
        yield "row_updates", "bias corrections of rows count the updates of each row, which the state stores as int64"
    if rule.lookahead is not None:
        text = f"every {rule.lookahead.period} updates: s ← s + {rule.lookahead.slow_step:g}·(W - s), W ← s"
        yield "lookahead", f"{text}: 8 bytes, {_bytes(moved['lookahead'])} on average"
    if rule.ema is not None:
        yield "ema", f"e ← {rule.ema.decay:g}·e + (1-{rule.ema.decay:g})·W: {_bytes(moved['ema'])}"


def variants_of(rule: Rule) -> list[Variant]:
    """Return the programs that a rule has besides that of an update, in the order of calls."""
    stores: tuple[Variant, ...] = ("begin", "add")
    synchronizes: tuple[Variant, ...] = ("synchronize",) if rule.lookahead is not None else ()
    return [*stores[: rule.accumulate - 1], *synchronizes]


def describe_variants(rule: Rule) -> list[str]:
    """Return a line for each pass of the programs that a rule has besides that of an update."""
    titles = {"begin": "first gradient of a mean", "add": "later gradient of a mean", "synchronize": "lookahead"}
    passes = [(titles[variant], each) for variant in variants_of(rule) for each in _passes(rule.program(variant))]
    return [f"{title}: {describe_traffic(each)}" for title, each in passes]
