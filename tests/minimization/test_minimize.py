"""`minimize`: stop conditions, stages, bounds of rules, nested and complex arrays, callbacks, history, SciPy."""

import warnings
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import mxtrain
from tests.minimization.functions import quadratic, rosenbrock

X0 = np.array([-1.2, 1.0, 0.5, -0.3])
SGD = {"kind": "sgd", "η": 0.05}


@pytest.mark.parametrize("method", ["lbfgs", "cg", {"kind": "adam", "η": 0.1}])
@pytest.mark.parametrize(
    ("until", "status", "message"),
    [
        ({"gtol": 1e-4, "ftol": None}, 0, "gtol: the largest element of the gradient, "),
        ({"ftol": 1e-3}, 0, "ftol: the relative change of the value is at most 0.001"),
        ({"xtol": 1e-2, "ftol": None}, 0, "xtol: the relative length of the step is at most 0.01"),
        ({"target": 0.5}, 0, "target: the value 0."),
        ({"max_iterations": 3}, 1, "max_iterations: the limit of 3 iterations is reached"),
        ({"max_evaluations": 4}, 1, "max_evaluations: the limit of 4 evaluations is reached"),
        ({"max_seconds": 1e-9}, 1, "max_seconds: the limit of 1e-09 seconds is reached"),
        ({"when": lambda progress: progress.iterations == 2}, 0, "when: <lambda> returned true"),
        (lambda progress: progress.evaluations > 3, 0, "when: <lambda> returned true"),
    ],
)
def test_conditions(method: Any, until: Any, status: int, message: str) -> None:
    result = mxtrain.minimize(quadratic, X0, method, until=until)
    assert (result.status, result.success) == (status, status == 0)
    assert result.message.startswith(message)
    value, gradient = quadratic(result.x)
    assert result.fun == value
    assert (result.jac == gradient).all()
    assert result.gradient_norm == abs(gradient).max()
    if isinstance(until, dict) and "max_evaluations" in until:
        assert result.nfev == 4


def test_none_switches_a_default_off_and_the_others_stay() -> None:
    strict = mxtrain.minimize(rosenbrock, X0, until={"ftol": None, "gtol": 1e-9})
    assert strict.gradient_norm <= 1e-9
    assert mxtrain.minimize(rosenbrock, X0, until={"gtol": 1e-9}).message.startswith("ftol")


def test_the_gradient_tolerance_is_tested_at_x0() -> None:
    result = mxtrain.minimize(quadratic, np.full(3, 3.0))
    assert (result.nit, result.nfev, result.success) == (0, 1, True)


@pytest.mark.parametrize(("method", "bounds"), [("lbfgs", None), ("cg", None), ("lbfgs", (5.0, 6.0))])
def test_a_gradient_of_zero_is_convergence_without_a_tolerance(method: Any, bounds: Any) -> None:
    x0 = np.full(4, 3.0)  # the minimum; with bounds, the point inside nearest to it
    result = mxtrain.minimize(quadratic, x0, method, bounds=bounds, until={"gtol": None})
    message = "the gradient is zero" if bounds is None else "the projected gradient is zero"
    assert (result.success, result.status, result.nit, result.message) == (True, 0, 0, message)


def test_stages_continue_where_the_one_before_ended() -> None:
    stages = [{**SGD, "max_iterations": 4}, {"kind": "adam", "gtol": 5.0}, {"kind": "lbfgs", "memory": 3}]
    result = mxtrain.minimize(quadratic, X0, stages, history=True)
    first = mxtrain.minimize(quadratic, X0, SGD, until={"max_iterations": 4})
    second = mxtrain.minimize(quadratic, first.x, "adam", until={"gtol": 5.0})
    last = mxtrain.minimize(quadratic, second.x, {"kind": "lbfgs", "memory": 3})
    assert result.x.tobytes() == last.x.tobytes()
    assert result.nit == first.nit + second.nit + last.nit
    assert result.nfev == first.nfev + second.nfev + last.nfev - 2
    assert result.history["fun"][first.nit] == first.fun
    assert len(result.history["iteration"]) == result.nit + 1


def test_conditions_on_changes_hold_in_the_last_stage_only() -> None:
    stages = [{**SGD, "η": 1e-9, "max_iterations": 5}, "lbfgs"]
    assert mxtrain.minimize(quadratic, X0, stages, until={"ftol": 1e-6}).nit > 5
    assert mxtrain.minimize(quadratic, X0, stages, until={"max_iterations": 3}).nit == 3


BOUNDS: list[Any] = [
    (None, 2.5),
    (-np.inf, 2.5),
    [(None, 2.5)] * 4,
    np.array([(-np.inf, 2.5)] * 4),
    (None, np.full(4, 2.5)),
    scipy.optimize.Bounds(-np.inf, 2.5),
    scipy.optimize.Bounds(np.full(4, -np.inf), np.full(4, 2.5)),
]


@pytest.mark.parametrize("method", ["lbfgs", SGD])
@pytest.mark.parametrize("bounds", BOUNDS, ids=repr)
def test_forms_of_bounds(bounds: Any, method: Any) -> None:
    seen = []

    def watched(x: Any) -> Any:
        seen.append(x.max())
        return quadratic(x)

    result = mxtrain.minimize(watched, X0 + 4, method, bounds=bounds)
    assert result.success
    assert (result.x == 2.5).all()
    assert max(seen) <= 2.5


@pytest.mark.parametrize("method", ["lbfgs", SGD])
def test_bounds_of_each_element_and_a_projected_gradient(method: Any) -> None:
    low, high = np.array([-np.inf, 3.5, -np.inf, 0.0]), np.array([2.0, np.inf, np.inf, 1.0])
    result = mxtrain.minimize(quadratic, X0, method, bounds=(low, high), until={"gtol": 1e-8, "ftol": None})
    assert result.success
    assert result.x == pytest.approx([2.0, 3.5, 3.0, 1.0], abs=1e-8)


def test_bounds_are_rounded_inwards() -> None:
    seen = []

    def watched(x: Any) -> Any:
        seen.append(float(x.max()))
        return quadratic(x)

    mxtrain.minimize(watched, X0.astype("float32"), SGD, bounds=(None, 0.1))
    assert 0.0999 < max(seen) <= 0.1


Layer = namedtuple("Layer", ["W", "b"])


def test_nested_arrays_keep_their_structure() -> None:
    def nested(tree: Any) -> Any:
        value, gradient = quadratic(np.concatenate([tree["first"].W.ravel(), tree["first"].b, tree["rest"][0]]))
        return value, {"rest": [gradient[5:]], "first": Layer(gradient[:4].reshape(2, 2), gradient[4:5])}

    x0 = {"first": Layer(np.zeros((2, 2)), np.zeros(1)), "rest": [np.zeros(3)]}
    flat = mxtrain.minimize(quadratic, np.zeros(8), until={"ftol": 0})
    result = mxtrain.minimize(nested, x0, until={"ftol": 0})
    assert isinstance(result.x["first"], Layer)
    assert result.x["first"].W.tobytes() == flat.x[:4].tobytes()
    assert result.jac["rest"][0].tobytes() == flat.jac[5:].tobytes()
    assert (x0["first"].W == 0).all()
    bounded = mxtrain.minimize(nested, x0, SGD | {"η": 0.02}, bounds={"rest": [(None, 1.0)]})
    assert (bounded.x["rest"][0] == 1).all()
    assert bounded.x["first"].b == pytest.approx([3.0], abs=1e-4)


@pytest.mark.parametrize("method", ["lbfgs", "cg", SGD])
def test_complex_arrays_are_pairs_of_real_numbers(method: Any) -> None:
    goal = np.array([1 + 2j, -3j])

    def distance(z: Any) -> Any:
        return float((abs(z - goal) ** 2).sum()), 2 * (z - goal)

    def real(x: Any) -> Any:
        value, gradient = distance(x.view(complex))
        return value, gradient.view(float)

    result = mxtrain.minimize(distance, np.zeros(2, complex), method)
    assert result.x.dtype == complex
    assert result.x == pytest.approx(goal, abs=1e-5)
    assert result.x.tobytes() == mxtrain.minimize(real, np.zeros(4), method).x.tobytes()


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "adam", "η": 0.1},
        {"kind": "adam", "η": 0.1, "agc": {"clipping": 0.01}},
        {"kind": "adam", "η": 0.1, "ema": {"decay": 0.5}},
        {"kind": "lamb", "η": 0.1},
        {"kind": "adafactor"},
        {"kind": "muon", "η": 0.1},
        {"kind": "muon", "groups": {"w*": {"η": 0.2}, "ndim < 2": {"η": 0.3}}},
    ],
    ids=lambda rule: " ".join([rule["kind"], *rule.keys() - {"kind", "η"}]),
)
def test_rules_see_complex_arrays_as_in_a_step(rule: Any) -> None:
    rng = np.random.default_rng(3)
    goal = {
        "b": rng.standard_normal(3),
        "w": rng.standard_normal((4, 3)) + 1j * rng.standard_normal((4, 3)),
        "v": 1j * rng.standard_normal((2, 3)),
    }

    def distance(params: Any) -> Any:
        apart = {name: params[name] - goal[name] for name in goal}
        return sum(float((abs(each) ** 2).sum()) for each in apart.values()), {k: 2 * each for k, each in apart.items()}

    params = {name: np.ones_like(each) for name, each in goal.items()}
    result = mxtrain.minimize(distance, params, rule, until={"max_iterations": 5, "gtol": None})
    optimizer = mxtrain.build({"λ": 0, **rule})
    for _ in range(5):
        optimizer.step(params, distance(params)[1])
    expected = optimizer.evaluation_params(params)
    assert result.nit == 5
    for name in goal:
        assert result.x[name].dtype == expected[name].dtype
        assert result.x[name].tobytes() == expected[name].tobytes(), name
    assert expected["w"].tobytes() != np.ones_like(expected["w"]).tobytes()


def test_bounds_of_a_rule_need_real_arrays() -> None:
    with pytest.raises(mxtrain.ArrayError, match="'x' is complex128, and complex numbers have no order"):
        mxtrain.minimize(
            lambda z: (float((z * z.conj()).real.sum()), 2 * z), np.ones(2, complex), {**SGD, "bounds": [0, 1]}
        )


def test_float32_stays_float32() -> None:
    result = mxtrain.minimize(quadratic, X0.astype("float32"))
    assert (result.x.dtype, result.jac.dtype, type(result.fun)) == (np.float32, np.float32, float)


def test_the_value_and_the_gradient_as_two_functions_with_arguments() -> None:
    def value(x: Any, factor: float) -> float:
        return factor * quadratic(x)[0]

    def gradient(x: Any, factor: float) -> Any:
        return factor * quadratic(x)[1]

    result = mxtrain.minimize(value, X0, jac=gradient, args=(2.0,))
    both = mxtrain.minimize(lambda x, f: (value(x, f), gradient(x, f)), X0, jac=True, args=(2.0,))
    assert result.x.tobytes() == both.x.tobytes()


def test_callbacks_and_history() -> None:
    points: list[Any] = []

    def with_result(intermediate_result: Any) -> None:
        points.append(intermediate_result)
        if intermediate_result.nit == 3:
            raise StopIteration

    result = mxtrain.minimize(quadratic, X0, SGD, callback=with_result, history=True)
    assert (result.status, result.nit, len(points)) == (99, 3, 3)
    assert result.history["fun"].tolist() == [quadratic(X0)[0], *(each.fun for each in points)]
    assert result.history["evaluations"].tolist() == [1, 2, 3, 4]
    xs: list[Any] = []
    mxtrain.minimize(quadratic, X0, SGD, callback=xs.append, until={"max_iterations": 2})
    assert [x.tobytes() for x in xs] == [each.x.tobytes() for each in points[:2]]


def test_rules_that_evaluate_other_weights_end_there() -> None:
    rule = SGD | {"ema": {"decay": 0.5}}
    result = mxtrain.minimize(quadratic, X0, rule, until={"max_iterations": 5})
    optimizer, params = mxtrain.build(SGD | {"λ": 0, "ema": {"decay": 0.5}}), {"x": X0.copy()}
    for _ in range(5):
        optimizer.step(params, {"x": quadratic(params["x"])[1]})
    assert result.x.tobytes() == optimizer.evaluation_params(params)["x"].tobytes()
    assert result.fun == quadratic(result.x)[0]
    assert result.nfev == 7


def test_rules_have_no_decay_unless_it_is_given() -> None:
    assert mxtrain.minimize(quadratic, X0, SGD, until={"gtol": 1e-10}).x == pytest.approx(np.full(4, 3.0), abs=1e-10)
    decayed = mxtrain.minimize(quadratic, X0, SGD | {"λ": 2.0}, until={"gtol": None, "max_iterations": 500}).x
    assert decayed == pytest.approx([1.5, 2.0, 2.25, 2.4], abs=1e-9)


def test_the_result_is_a_mapping_with_attributes() -> None:
    result = mxtrain.minimize(quadratic, X0)
    assert result["x"] is result.x
    assert {"x", "fun", "jac", "success", "status", "message", "nit", "nfev", "njev"} <= set(result)
    assert repr(result).splitlines()[3].strip().startswith("success: True")
    with pytest.raises(AttributeError, match=r"^the result has no field funn; did you mean fun\?$"):
        _ = result.funn


def test_progress_is_lines_on_stderr_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    result = mxtrain.minimize(quadratic, X0, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("iteration 1  evaluations ")
    assert lines[-1].startswith(f"iteration {result.nit}  evaluations {result.nfev}  value ")


def test_scipy_accepts_a_method() -> None:
    method = mxtrain.scipy_method("lbfgs", history=True)
    result = scipy.optimize.minimize(rosenbrock, X0, jac=True, method=method, options={"gtol": 1e-9, "ftol": 0})
    assert result.x.tobytes() == mxtrain.minimize(rosenbrock, X0, until={"gtol": 1e-9, "ftol": 0}).x.tobytes()
    assert len(result.history["fun"]) == result.nit + 1
    few = scipy.optimize.minimize(rosenbrock, X0, jac=True, method=method, options={"maxiter": 2}, tol=1e-3)
    assert (few.nit, few.status) == (2, 1)
    seen: list[Any] = []

    def callback(intermediate_result: Any) -> None:
        seen.append(intermediate_result.fun)

    adam = mxtrain.scipy_method({"kind": "adam", "η": 0.1}, until={"max_iterations": 5})
    bounded = scipy.optimize.minimize(
        lambda x, shift: quadratic(x - shift)[0],
        X0,
        args=(1.0,),
        jac=lambda x, shift: quadratic(x - shift)[1],
        bounds=[(-1, 1)] * 4,
        callback=callback,
        method=adam,
    )
    assert abs(bounded.x).max() <= 1
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "jac: needs the gradient; pass jac=True if fun returns (value, gradient), or a function"),
        (
            {"constraints": {"type": "eq"}, "jac": True},
            "constraints: are not supported; use bounds, or a method of SciPy",
        ),
        (
            {"options": {"maxcor": 5}, "jac": True},
            "options.maxcor: unknown option; the options are maxiter, maxfun, gtol, ftol, xtol, target",
        ),
        (
            {"options": {"maxiter": -1}, "jac": True},
            "options.max_iterations: must be a whole number at least 0, got -1",
        ),
    ],
)
def test_wrong_use_from_scipy(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        scipy.optimize.minimize(quadratic, X0, method=mxtrain.scipy_method(), **settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"histroy": True}, "histroy: unknown setting; did you mean history?"),
        ({"jac": True}, "jac: unknown setting; the settings are history, checkpoint, checkpoint_every"),
        ({"history": "all"}, "history: must be true or false, got 'all'"),
        (
            {"checkpoint_every": "often"},
            "checkpoint_every: must be auto, or a count and a unit, such as '100 iterations' or '30 seconds', got 'often'",
        ),
        ({"checkpoint": 3}, "checkpoint: must be the path of a file, got 3"),
    ],
)
def test_settings_of_a_method_for_scipy_are_checked_when_it_is_made(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.scipy_method(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"hess": lambda x: np.eye(4), "hessp": lambda x, p: p},
            "Method lbfgs does not use Hessian information (hess, hessp).",
        ),
        (
            {"options": {"disp": True}},
            "Method lbfgs does not use the option disp; mxtrain.minimize has progress=True.",
        ),
        ({"options": {"disp": False}}, None),
    ],
)
def test_what_a_method_for_scipy_does_not_use_gives_one_warning(settings: dict[str, Any], message: str | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = scipy.optimize.minimize(quadratic, X0, jac=True, method=mxtrain.scipy_method(), **settings)
    assert result.success
    assert [(each.category, str(each.message)) for each in caught] == (
        [] if message is None else [(RuntimeWarning, message)]
    )
