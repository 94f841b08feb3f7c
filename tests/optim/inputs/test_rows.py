"""Updates of some rows of a weight: equal to the dense update of these rows, and nothing else changes."""

import pickle
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.inputs.rows import sum_repeated_rows
from tests.tables import CONFIGS

N, SHAPE = 40, (40, 3)
REFUSED = ("schedule_free",)
"""Kinds of rules that average whole weights."""
ROW_CONFIGS = {name: config for name, config in CONFIGS.items() if not config["kind"].startswith(REFUSED)}
WRAPPED: dict[str, dict[str, Any]] = {
    "cautious": {"kind": "adamw", "cautious": True},
    "agc": {"kind": "sgd", "η": 0.5, "agc": {}},
    "clip_norm": {"kind": "adam", "clip_norm": 0.5},
    "bounds": {"kind": "sgd", "η": 0.5, "bounds": [-0.5, 0.5]},
    "skip_nonfinite": {"kind": "adam", "skip_nonfinite": True},
    "schedules": {"kind": "adam", "schedules": {"β2": {"kind": "exp", "γ": 0.9, "per": "iteration"}}},
}
OWN = ("adam", "adamw", "radam", "adan", "mars", "adopt", "lamb", "ademamix with warm-ups", "sgd with momentum")


def table(dtype: Any = "float32", seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(dtype)


def gradient(count: int, dtype: Any = "float32", seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE[1:])).astype(dtype)


def rows_of(optimizer: Any, index: str, rows: Any) -> dict[str, Any]:
    """Return the content of a state at some rows."""
    entry = optimizer.state_dict()["parameters"][index]
    return {"scalars": entry["scalars"], "slots": {name: slot[rows] for name, slot in entry["slots"].items()}}


def same_bits(a: Any, b: Any) -> bool:
    return bool(np.array_equal(np.ascontiguousarray(a).view("uint8"), np.ascontiguousarray(b).view("uint8")))


def assert_same_state(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a["scalars"] == b["scalars"]
    for name, slot in a["slots"].items():
        assert same_bits(slot, b["slots"][name]), name


@pytest.mark.parametrize("name", [*ROW_CONFIGS, *WRAPPED])
def test_rows_get_the_dense_update_of_an_array_made_of_them(name: str) -> None:
    """The same rows in four steps, and in between a dense step of both."""
    config = (ROW_CONFIGS | WRAPPED)[name]
    rows = np.array([31, 2, 17, 39])
    order = np.argsort(rows)
    sparse, dense = mxtrain.build(config, backend="numpy"), mxtrain.build(config, backend="numpy")
    W = table()
    before, small = W.copy(), W[rows[order]]
    for step in range(4):
        g = gradient(len(rows), seed=step)
        sparse.step({"E": W}, {"E": g}, rows={"E": rows})
        dense.step({"E": small}, {"E": g[order]})
        assert same_bits(W[rows[order]], small)
    assert_same_state(rows_of(sparse, "E", rows[order]), rows_of(dense, "E", slice(None)))
    others = np.setdiff1d(np.arange(N), rows)
    assert same_bits(W[others], before[others])
    fresh = mxtrain.build(config, backend="numpy")
    fresh.step({"E": before.copy()}, {"E": np.zeros_like(before)})
    if not any(slot.any() for slot in rows_of(fresh, "E", others)["slots"].values()):  # slots that start at 0
        assert not any(slot.any() for slot in rows_of(sparse, "E", others)["slots"].values())


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 4, 3), (50, 700)])
@pytest.mark.parametrize("layout", ["C", "F", "strided", "columns", "reversed"])
def test_any_memory_layout_and_number_of_axes(backend: str, shape: tuple[int, ...], layout: str) -> None:
    base = np.random.default_rng(3).normal(size=shape).astype("float32")
    W = {
        "C": base,
        "F": np.asfortranarray(base),
        "strided": np.repeat(base, 2, axis=0)[::2],
        "columns": np.repeat(base, 2, axis=-1)[..., ::2],
        "reversed": base[::-1].copy()[::-1],
    }[layout]
    optimizer, dense = (
        mxtrain.build({"kind": "adam"}, backend=backend),
        mxtrain.build({"kind": "adam"}, backend="numpy"),
    )
    rows = np.array([7, 49, 0], dtype="uint8")
    small, g = W[[0, 7, 49]].copy(), np.random.default_rng(4).normal(size=(3, *shape[1:])).astype("float32")
    for _ in range(2):
        optimizer.step({"E": W}, {"E": g}, rows={"E": rows})
        dense.step({"E": small}, {"E": g[[2, 0, 1]]})
    assert same_bits(W[[0, 7, 49]], small)
    assert (np.delete(W, [0, 7, 49], axis=0) == np.delete(base, [0, 7, 49], axis=0)).all()


def test_gradients_of_a_repeated_row_are_added_in_order_of_occurrence() -> None:
    """Each addition is rounded: 1 + 1e8 - 1e8 is 0 in float32, and 1e8 - 1e8 + 1 is 1."""
    indices = np.array([5, 2, 5, 5, 2, 0])
    g = np.array([[1.0], [1e8], [1e8], [-1e8], [-1e8], [7.0]], dtype="float32")
    unique, sums = sum_repeated_rows(indices, g, 6)
    assert unique.tolist() == [0, 2, 5]
    assert sums.tolist() == [[7.0], [0.0], [0.0]]


def test_many_repetitions_of_one_row() -> None:
    rng = np.random.default_rng(0)
    indices = np.where(rng.random(2000) < 0.5, 3, rng.integers(0, 50, 2000))
    g = rng.normal(size=(2000, 2)).astype("float32")
    expected = {int(row): np.zeros(2, dtype="float32") for row in np.unique(indices)}
    for row in expected:
        first, *others = g[indices == row]
        for each in others:
            first = first + each
        expected[row] = first
    unique, sums = sum_repeated_rows(indices, g, 50)
    assert unique.tolist() == list(expected)
    assert same_bits(sums, np.array(list(expected.values())))


@pytest.mark.parametrize("name", OWN)
def test_own_counts_are_those_of_separate_arrays(name: str) -> None:
    """Each row is as if it were an array with an optimizer of its own, for rules without sums over the rows."""
    config = CONFIGS[name] | {"row_updates": "own"}
    W = table()
    alone = {row: (mxtrain.build(CONFIGS[name], backend="numpy"), W[[row]].copy()) for row in (3, 5, 8)}
    optimizer = mxtrain.build(config, backend="numpy")
    steps = [[3, 5], [5], [8, 5], [3], [8, 3, 5], []]
    if name in ("lamb", "mars"):  # their sums run over the rows with one count
        steps = [[3], [5], [3], [8], [5]]
    for number, rows in enumerate(steps):
        g = gradient(len(rows), seed=number)
        optimizer.step({"E": W}, {"E": g}, rows={"E": rows})
        for row, each in zip(rows, g, strict=True):
            single, weight = alone[row]
            single.state.curr_iter = number  # schedules count the steps of the optimizer
            single.step({"E": weight}, {"E": each[None]})
    for row, (_, weight) in alone.items():
        assert same_bits(W[[row]], weight)
    counts = optimizer.state_dict()["parameters"]["E"]["slots"]["row_updates"]
    assert counts[[3, 5, 8, 0]].tolist() == [sum(row in rows for rows in steps) for row in (3, 5, 8, 0)]
    assert optimizer.state_dict()["parameters"]["E"]["updates"] == len(steps)


def test_lookahead_with_own_counts() -> None:
    config = {"kind": "sgd", "η": 0.5, "lookahead": {"period": 2}}
    W = table()
    small = W[[4]].copy()
    optimizer, dense = mxtrain.build(config | {"row_updates": "own"}), mxtrain.build(config)
    for number, rows in enumerate([[4], [1], [4, 2], [4]]):
        optimizer.step({"E": W}, {"E": gradient(len(rows), seed=number)}, rows={"E": rows})
        if 4 in rows:
            dense.step({"E": small}, {"E": gradient(len(rows), seed=number)[:1]})
    assert same_bits(optimizer.evaluation_params({"E": W})["E"][[4]], dense.evaluation_params({"E": small})["E"])


@pytest.mark.parametrize("own", ["step", "own"])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_resume_gives_the_same_bytes(own: str, dtype: str, tmp_path: Any) -> None:
    config = {"kind": "adam", "row_updates": own}
    whole, W = mxtrain.build(config), table(dtype)
    part, V = mxtrain.build(config), table(dtype)
    for number in range(6):
        rows = np.random.default_rng(number).integers(0, N, 7)
        g = gradient(7, dtype, seed=number)
        whole.step({"E": W}, {"E": g}, rows={"E": rows})
        part.step({"E": V}, {"E": g}, rows={"E": rows})
        part.save(tmp_path / "state")
        part = mxtrain.build(config) if number % 2 else pickle.loads(pickle.dumps(part))
        part.load(tmp_path / "state")
    assert same_bits(W, V)
    states = [each.state_dict()["parameters"]["E"] for each in (whole, part)]
    assert states[0]["updates"] == states[1]["updates"] == 6
    assert_same_state(*states)


def test_dense_and_row_steps_mix() -> None:
    """With counts of steps, a dense step after row steps is that of an optimizer with the same count and slots."""
    optimizer = mxtrain.build({"kind": "nadam"})
    W = table()
    optimizer.step({"E": W}, {"E": gradient(N)})
    optimizer.step({"E": W}, {"E": gradient(2)}, rows={"E": [0, 1]})
    copy, V = mxtrain.build({"kind": "nadam"}), W[:2].copy()
    state = optimizer.state_dict()
    entry = state["parameters"]["E"]
    entry["slots"] = {name: slot[:2] for name, slot in entry["slots"].items()}
    copy.load_state_dict(state)
    optimizer.step({"E": W}, {"E": gradient(N, seed=5)})
    copy.step({"E": V}, {"E": gradient(N, seed=5)[:2]})
    assert same_bits(W[:2], V)
    assert optimizer.state_dict()["parameters"]["E"]["updates"] == 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "complex128", "float64"])
def test_other_dtypes(dtype: str) -> None:
    kind = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    sparse, dense, W = mxtrain.build({"kind": "adam"}), mxtrain.build({"kind": "adam"}), table(kind)
    small, g = W[[1, 5]].copy(), gradient(3, kind)
    wide = g.astype("float32") if "float16" in str(np.dtype(kind)) else g
    for _ in range(2):
        sparse.step({"E": W}, {"E": g}, rows={"E": [5, 1, 5]})
        dense.step({"E": small}, {"E": np.stack([wide[1], wide[0] + wide[2]])})
    assert same_bits(W[[1, 5]], small)
    assert same_bits(np.delete(W, [1, 5], axis=0), np.delete(table(kind), [1, 5], axis=0))
    assert_same_state(rows_of(sparse, "E", [1, 5]), rows_of(dense, "E", slice(None)))


def test_nested_names_flat_parameters_and_dense_parameters_beside_rows() -> None:
    """Only `layers.0.E` has rows; the other parameter gets a dense update in the same step."""
    config = {"kind": "adam", "clip_norm": 1.0, "groups": {"*.E": {"λ": 0}}}
    nested = {"layers": [{"E": table(), "b": table(seed=7)}]}
    flat = mxtrain.FlatParameters({"layers.0.E": table(), "layers.0.b": table(seed=7)})
    grads = {"layers.0.E": gradient(2), "layers.0.b": gradient(N, seed=8)}
    optimizers = [mxtrain.build(config) for _ in range(2)]
    for _ in range(2):
        optimizers[0].step(nested, {"layers": [{"E": grads["layers.0.E"], "b": grads["layers.0.b"]}]}, rows=ROWS)
        optimizers[1].step(flat, grads, rows=ROWS)
    layer = nested["layers"][0]
    assert same_bits(layer["E"], flat["layers.0.E"])
    assert same_bits(layer["b"], flat["layers.0.b"])
    assert not same_bits(layer["b"], table(seed=7))


ROWS = {"layers.0.E": [9, 3], "layers.0.b": None}


@pytest.mark.parametrize("own", ["step", "own"])
def test_no_rows_change_counters_only(own: str) -> None:
    optimizer, W = mxtrain.build({"kind": "adam", "row_updates": own}), table()
    for rows in ([], np.array([], dtype="int32")):
        optimizer.step({"E": W}, {"E": gradient(0)}, rows={"E": rows})
    assert same_bits(W, table())
    entry = optimizer.state_dict()["parameters"]["E"]
    assert (entry["updates"], optimizer.state.curr_iter) == (2, 2)
    assert not any(slot.any() for slot in entry["slots"].values())


@pytest.mark.parametrize("treatment", ["skip", "raise"])
def test_overflow_in_other_rows_is_found_by_the_next_step(treatment: str) -> None:
    """A scan of some rows must not make the guard skip the scan of others."""
    optimizer, W = mxtrain.build({"kind": "adam"}, on_nonfinite=treatment), table()
    optimizer.step({"E": W}, {"E": gradient(N)})
    state = optimizer.state_dict()
    state["parameters"]["E"]["slots"]["v"][9] = 3e38
    optimizer.load_state_dict(state)
    optimizer.step({"E": W}, {"E": gradient(1)}, rows={"E": [0]})
    before = W.copy()
    with pytest.raises(mxtrain.NonFiniteError) if treatment == "raise" else pytest.warns(RuntimeWarning, match="'E'"):
        optimizer.step({"E": W}, {"E": np.full((1, 3), 1e20, dtype="float32")}, rows={"E": [9]})
    assert same_bits(W, before)


def test_a_warning_looks_at_the_updated_rows() -> None:
    optimizer, W = mxtrain.build({"kind": "adam"}), table()
    with pytest.warns(RuntimeWarning, match="weight 'E': its slot v is NaN or infinite"):
        optimizer.step({"E": W}, {"E": np.full((1, 3), 1e30, dtype="float32")}, rows={"E": [3]})


E32 = np.zeros((10, 3), dtype="float32")
LABEL = "rows['E']"
WRONG: dict[str, tuple[Any, Any, str]] = {
    "an unknown name": ({"F": [1]}, (1, 3), "rows has indices for 'F', which is no parameter; the names are 'E'"),
    "no mapping": (
        np.array([1]),
        (1, 3),
        "rows must be a mapping of row indices by the names of parameters, got numpy.ndarray",
    ),
    "float indices": (
        {"E": np.array([1.0])},
        (1, 3),
        f"{LABEL} must be whole numbers, got dtype float64; pass indices of an integer dtype",
    ),
    "a mask": (
        {"E": np.ones(10, dtype=bool)},
        (10, 3),
        f"{LABEL} must be whole numbers, got dtype bool; pass np.flatnonzero(mask)",
    ),
    "two axes": (
        {"E": np.array([[1, 2]])},
        (1, 2, 3),
        f"{LABEL} must have one axis, got shape (1, 2); pass indices.reshape(-1), and a gradient to match",
    ),
    "nested lists": (
        {"E": [[1], [2, 3]]},
        (3, 3),
        f"{LABEL} must have one axis, got nested lists; pass a flat list of indices",
    ),
    "a number": ({"E": 3}, (1, 3), f"{LABEL} must be a NumPy or CuPy array, got 3"),
    "an index after the last": (
        {"E": [1, 10]},
        (2, 3),
        f"{LABEL} has the index 10 at position 1, and the weight has rows 0 to 9",
    ),
    "a negative index": (
        {"E": [-1]},
        (1, 3),
        f"{LABEL} has the index -1 at position 0, and the weight has rows 0 to 9",
    ),
    "a huge index": (
        {"E": np.array([2**63], dtype="uint64")},
        (1, 3),
        f"{LABEL} has the index 9223372036854775808 at position 0, and the weight has rows 0 to 9",
    ),
    "a dense gradient": (
        {"E": [1, 2]},
        (10, 3),
        (
            f"the gradient of weight 'E' has shape (10, 3), and with {LABEL} it must have (2, 3); pass its rows, "
            "gradient[indices], or leave it out of rows"
        ),
    ),
    "rows of another length": (
        {"E": [1, 2]},
        (2, 4),
        f"the gradient of weight 'E' has shape (2, 4), and with {LABEL} it must have (2, 3); pass one row for each index",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_rows_change_nothing(case: str) -> None:
    rows, shape, message = WRONG[case]
    optimizer, W = mxtrain.build({"kind": "adam"}), E32.copy()
    optimizer.step({"E": W}, {"E": np.ones((1, 3), dtype="float32")}, rows={"E": [2]})
    before, state = W.copy(), repr(optimizer.state_dict())
    with pytest.raises(mxtrain.ArrayError) as error:
        optimizer.step({"E": W}, {"E": np.ones(shape, dtype="float32")}, rows=rows)
    assert str(error.value) == message
    assert same_bits(W, before)
    assert repr(optimizer.state_dict()) == state


REFUSED_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "muon": (
        {"kind": "muon"},
        "muon updates whole matrices, not rows; give the weight an elementwise rule with a group",
    ),
    "soap": (
        {"kind": "soap"},
        "soap updates whole matrices, not rows; give the weight an elementwise rule with a group",
    ),
    "adafactor": (
        {"kind": "adafactor"},
        "adafactor updates whole matrices, not rows; give the weight an elementwise rule with a group",
    ),
    "accumulate": (
        {"kind": "adam", "accumulate": 2},
        (
            "accumulate: 2 adds up gradients of whole weights; set accumulate: 1, and pass the rows of all gradients in one "
            "step"
        ),
    ),
    "ema": (
        {"kind": "adam", "ema": {}},
        "ema averages all rows in every update; set ema: null in a group for this weight",
    ),
    "lookahead": (
        {"kind": "adam", "lookahead": {}},
        (
            "lookahead moves the weights of every 6th update, in which a row may have no gradient; set row_updates: own, or "
            "lookahead: null in a group for this weight"
        ),
    ),
    "schedule-free": (
        {"kind": "schedule_free_adamw"},
        "schedule_free_adamw averages all rows in every update; give the weight another rule with a group, such as adamw",
    ),
    "scalar slots": (
        {"kind": "nadam", "row_updates": "own"},
        (
            "nadam stores Π for the whole weight, so rows have no counts of their own; set row_updates: step in a "
            "group for this weight"
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED_CONFIGS)
def test_rules_without_a_meaning_for_rows_are_refused(case: str) -> None:
    config, message = REFUSED_CONFIGS[case]
    optimizer, W = mxtrain.build(config), E32.copy()
    with pytest.raises(mxtrain.ArrayError) as error:
        optimizer.step({"E": W}, {"E": np.ones((1, 3), dtype="float32")}, rows={"E": [2]})
    assert str(error.value) == f"{LABEL}: {message}"
    assert not W.any()
    assert not optimizer.state_dict()["parameters"]


def test_other_mistakes() -> None:
    optimizer, W = mxtrain.build({"kind": "adam", "row_updates": "own"}), E32.copy()
    with pytest.raises(mxtrain.ArrayError, match=r"^weight 's' has no axes, so it has no rows; leave it out of rows$"):
        optimizer.step({"s": np.zeros((), "float32")}, {"s": np.zeros(1, "float32")}, rows={"s": [0]})
    optimizer.step({"E": W}, {"E": np.ones((1, 3), dtype="float32")}, rows={"E": [2]})
    with pytest.raises(mxtrain.ArrayError, match=r"^weight 'E' has update counts of its rows .*; pass rows=\{'E': ind"):
        optimizer.step({"E": W}, {"E": np.ones((10, 3), dtype="float32")})
    with pytest.raises(
        mxtrain.StateError, match=r"saved with row_updates: own: build the optimizer with row_updates: o"
    ):
        mxtrain.build({"kind": "adam"}).load_state_dict(optimizer.state_dict())
    W.flags.writeable = False
    with pytest.raises(
        mxtrain.ArrayError, match=r"^weight 'E' is read-only and cannot be updated in place; pass a copy"
    ):
        optimizer.step({"E": W}, {"E": np.ones((1, 3), dtype="float32")}, rows={"E": [2]})


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros(10), "must be a vector of int64, got float64 of shape (10,)"),
        (np.zeros(9, dtype=np.int64), "row_updates has 9 counts, and the slots have shape (10, 3)"),
        (np.full(10, 5), "must be counts from 0 to the 1 updates of the weight, got 5 to 5"),
    ],
)
def test_wrong_counts_in_a_state(counts: Any, message: str) -> None:
    optimizer = mxtrain.build({"kind": "adam", "row_updates": "own"})
    optimizer.step({"E": E32.copy()}, {"E": np.ones((1, 3), dtype="float32")}, rows={"E": [2]})
    state = optimizer.state_dict()
    state["parameters"]["E"]["slots"]["row_updates"] = counts
    with pytest.raises(mxtrain.StateError) as error:
        optimizer.load_state_dict(state)
    assert message in str(error.value)
