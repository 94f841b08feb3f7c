"""The optimizer of PyTorch: updates, groups, schedulers, saved states and the protocol of torch.optim."""

import copy
import io
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import mxtrain
from mxtrain.errors import ArrayError, ArrayTypeError, ConfigError, StateError
from mxtrain.torch import Optimizer
from tests.tables import CONFIGS, MATRIX_CONFIGS

INPUTS = torch.linspace(-1, 1, 64).reshape(16, 4)


def make_net() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))


def backward(net: Any, optimizer: Any) -> Any:
    optimizer.zero_grad()
    loss = (net(INPUTS) - 1).square().mean()
    loss.backward()
    return loss


def train(net: Any, optimizer: Any, steps: int, scheduler: Any = None) -> list[bytes]:
    for _ in range(steps):
        backward(net, optimizer)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return [p.detach().numpy().tobytes() for p in net.parameters()]


@pytest.mark.parametrize("name", [*CONFIGS, *MATRIX_CONFIGS])
def test_every_rule_has_the_bits_of_the_core(name: str) -> None:
    config = {**CONFIGS, **MATRIX_CONFIGS}[name]
    net = make_net()
    optimizer = Optimizer(net.named_parameters(), config, backend="numpy")
    reference = mxtrain.build(config, backend="numpy")
    weights = {key: p.detach().numpy().copy() for key, p in net.named_parameters()}
    for _ in range(3):
        backward(net, optimizer)
        optimizer.step()
        reference.step(weights, {key: p.grad.numpy() for key, p in net.named_parameters()})
    assert all(p.detach().numpy().tobytes() == weights[key].tobytes() for key, p in net.named_parameters())


def test_weights_are_updated_in_place_and_counted_as_changed() -> None:
    net = make_net()
    optimizer = Optimizer(net.parameters(), {"kind": "sgd"})
    weight = net[0].weight
    address, version = weight.data_ptr(), weight._version
    loss = backward(net, optimizer)
    gradient = weight.grad.clone()
    out = (weight * weight).sum()
    optimizer.step()
    assert weight.data_ptr() == address
    assert weight._version > version
    assert torch.equal(weight.grad, gradient)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()
    assert loss.item() > 0


def test_a_closure_is_called_once_with_gradients_enabled() -> None:
    net, calls = make_net(), []
    optimizer = Optimizer(net.parameters(), {"kind": "adam"})

    def closure() -> Any:
        calls.append(torch.is_grad_enabled())
        return backward(net, optimizer)

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() > 0
    assert optimizer.core.state.curr_iter == 1


def test_parameters_without_gradients_are_left_unchanged() -> None:
    net = make_net()
    for p in net[0].parameters():
        p.requires_grad_(False)
    optimizer = Optimizer(net.named_parameters(), {"kind": "adamw", "groups": {"0.*": {"λ": 0}}})
    before = [p.clone() for p in net[0].parameters()]
    train(net, optimizer, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, net[0].parameters(), strict=True))
    assert len(optimizer.state) == 2
    Optimizer(make_net().parameters(), {"kind": "sgd"}).step()  # no gradient at all


def test_groups_of_torch_override_the_config_and_groups_by_name_apply_within_them() -> None:
    net = make_net()
    groups = [
        {"params": [(n, p) for n, p in net.named_parameters() if n.startswith("0")], "lr": 0.25, "eps": 1e-6},
        {"params": [(n, p) for n, p in net.named_parameters() if n.startswith("2")], "betas": (0.5, 0.75), "λ": 0.5},
    ]
    config = {"kind": "adamw", "η": 0.125, "groups": {"*bias": {"weight_decay": 0}, "2.weight": {"η": 0.0625}}}
    optimizer = Optimizer(groups, config)
    found = {}
    for name, p in net.named_parameters():
        number = optimizer.core._groups.number(name, tuple(p.shape))
        rule = optimizer.core._groups.all[number].rule
        found[name] = (rule.η, rule.λ, rule.β1, rule.ε)
    assert found == {
        "0.weight": (0.25, 0.01, 0.9, 1e-6),
        "0.bias": (0.25, 0.0, 0.9, 1e-6),
        "2.weight": (0.0625, 0.5, 0.5, 1e-8),
        "2.bias": (0.125, 0.0, 0.5, 1e-8),
    }
    assert optimizer.param_groups[1]["betas"] == (0.5, 0.75)
    assert optimizer.param_groups[1]["weight_decay"] == 0.5
    optimizer.param_groups[1]["lr"] = 0.25  # twice as large
    train(net, optimizer, 1)
    rules = [
        optimizer.core._groups.all[optimizer.core._groups.number(n, tuple(p.shape))].rule.η
        for n, p in net.named_parameters()
    ]
    assert rules == [0.25, 0.25, 0.125, 0.25]


@pytest.mark.parametrize("kind", ["adamw", "prodigy"])
def test_groups_of_torch_equal_groups_by_name(kind: str) -> None:
    config = {"kind": kind, "clip_norm": 0.01}
    first, second = make_net(), make_net()
    parts = [
        {"params": first[0].named_parameters(prefix="0")},
        {"params": first[2].named_parameters(prefix="2"), "lr": 0.25},
    ]
    bits = train(first, Optimizer(parts, config), 4)
    assert bits == train(second, Optimizer(second.named_parameters(), config | {"groups": {"2.*": {"η": 0.25}}}), 4)


def test_a_group_may_have_a_rule_of_its_own() -> None:
    net = make_net()
    matrices, vectors = ([p for p in net.parameters() if (p.ndim == 2) is wanted] for wanted in (True, False))
    optimizer = Optimizer([{"params": matrices, "kind": "muon", "lr": 0.02}, {"params": vectors}], {"kind": "adamw"})
    train(net, optimizer, 2)
    assert [sorted(optimizer.state[p]) for p in (matrices[0], vectors[0])] == [["m", "updates"], ["m", "updates", "v"]]
    assert "momentum" in optimizer.param_groups[0]
    assert "betas" not in optimizer.param_groups[0]


SCHEDULERS = {
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 1 / (epoch + 1)),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=10),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=8),
    "cyclic": lambda o: torch.optim.lr_scheduler.CyclicLR(o, base_lr=0.01, max_lr=0.1, step_size_up=2),
}


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers_of_torch_change_the_rates(kind: str, scheduler: str) -> None:
    """The rates that a scheduler sets are those of the updates: a config with the same numbers gives the same bits."""
    config = {"kind": kind, "η": 0.1, "λ": 0.01, **({"μ": 0.9} if kind == "sgd" else {})}
    net = make_net()
    optimizer = Optimizer(net.parameters(), config)
    schedule = SCHEDULERS[scheduler](optimizer)
    reference = mxtrain.build(config)
    weights = {str(i): p.detach().numpy().copy() for i, p in enumerate(net.parameters())}
    for _ in range(6):
        group = optimizer.param_groups[0]
        numbers = {"η": group["lr"]} | ({"μ": group["momentum"]} if kind == "sgd" else {"β1": group["betas"][0]})
        other = mxtrain.build(config | numbers)
        other.load_state_dict(reference.state_dict())
        reference = other
        backward(net, optimizer)
        optimizer.step()
        reference.step(weights, {str(i): p.grad.numpy() for i, p in enumerate(net.parameters())})
        schedule.step()
        assert all(
            p.detach().numpy().tobytes() == w.tobytes() for p, w in zip(net.parameters(), weights.values(), strict=True)
        )


def test_reduce_on_plateau_and_a_rate_of_zero() -> None:
    net = make_net()
    optimizer = Optimizer(net.parameters(), {"kind": "muon", "η": 0.5, "otherwise": {"kind": "sgd", "η": 0.25}})
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    train(net, optimizer, 1)
    scheduler.step(1.0)
    scheduler.step(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.25
    train(net, optimizer, 1)
    assert [group.rule.η for group in optimizer.core._groups.all] == [0.25, 0.125]  # both follow
    optimizer.param_groups[0]["lr"] = 0.0
    before = train(net, optimizer, 0)
    assert train(net, optimizer, 2) == before


def test_a_schedule_of_the_config_shows_its_rate_and_refuses_another() -> None:
    net = make_net()
    schedule = {"kind": "exp", "γ": 0.5, "per": "iteration"}
    optimizer = Optimizer(net.parameters(), {"kind": "sgd", "η": 0.5, "η_sched": schedule})
    assert optimizer.param_groups[0]["lr"] == 0.5
    before = train(net, optimizer, 1)
    assert optimizer.param_groups[0]["lr"] == 0.25
    optimizer.param_groups[0]["lr"] = 0.1
    with pytest.raises(ConfigError, match=r"^param_groups\[0\].lr: cannot change, because the config has η_sched"):
        train(net, optimizer, 1)
    assert before == train(net, optimizer, 0)


@pytest.mark.parametrize(
    "config", [{"kind": "adamw"}, {"kind": "nadam"}, {"kind": "prodigy"}, {"kind": "soap", "ema": {}}]
)
def test_saved_states_resume_to_the_byte(config: dict[str, Any]) -> None:
    net = make_net()
    parts = [{"params": net[0].parameters(), "lr": 0.05}, {"params": net[2].parameters()}]
    optimizer = Optimizer(parts, config)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    train(net, optimizer, 3, scheduler)
    file = io.BytesIO()
    torch.save(
        {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file
    )
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    other = make_net()
    other.load_state_dict(saved["net"])
    parts = [{"params": other[0].parameters(), "lr": 0.05}, {"params": other[2].parameters()}]
    resumed = Optimizer(parts, config)
    later = torch.optim.lr_scheduler.StepLR(resumed, 2, 0.5)
    resumed.load_state_dict(saved["optimizer"])
    later.load_state_dict(saved["scheduler"])
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == 0.025
    expected = train(net, optimizer, 3, scheduler)
    assert train(other, resumed, 3, later) == expected


def test_copies_continue_with_the_same_bits() -> None:
    net = make_net()
    optimizer = Optimizer(net.parameters(), {"kind": "adamw"})
    optimizer.param_groups[0]["lr"] = 0.05
    train(net, optimizer, 2)
    copies = [copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))]
    assert all(each.param_groups[0]["params"][0] is each_net[0].weight for each_net, each in copies)
    expected = train(net, optimizer, 2)
    assert [train(*each, 2) for each in copies] == [expected, expected]


def test_states_of_something_else_are_refused_and_change_nothing() -> None:
    net = make_net()
    optimizer = Optimizer(net.parameters(), {"kind": "adamw"})
    train(net, optimizer, 1)
    saved = optimizer.state_dict()
    adam = torch.optim.AdamW(make_net().parameters())
    wrong_shape = copy.deepcopy(saved)
    wrong_shape["state"][0]["m"] = torch.zeros(3)
    without_slot = copy.deepcopy(saved)
    del without_slot["state"][0]["m"]
    other_rule = copy.deepcopy(saved)
    other_rule["state"]["mxtrain"]["rule"] = "lion"
    wrong_rate = copy.deepcopy(saved)
    wrong_rate["param_groups"][0]["lr"] = -1.0
    sparse_slot = copy.deepcopy(saved)
    sparse_slot["state"][0]["m"] = sparse_slot["state"][0]["m"].to_sparse()
    without_params = copy.deepcopy(saved)
    del without_params["param_groups"][0]["params"]
    of_other_types = [3, "abc", saved | {"state": None}, saved | {"state": []}]
    of_other_types += [saved | {"param_groups": each} for each in (None, {}, [3], [{"params": [[1]]}])]
    wrong = [
        adam.state_dict(),
        {},
        *of_other_types,
        without_params,
        sparse_slot,
        wrong_shape,
        without_slot,
        other_rule,
        wrong_rate,
        saved | {"param_groups": []},
    ]
    before = train(net, optimizer, 0), pickle.dumps(optimizer.core.state_dict())
    for each in wrong:
        with pytest.raises(StateError) as caught:
            optimizer.load_state_dict(each)
        assert "\n" not in str(caught.value)
    assert (train(net, optimizer, 0), pickle.dumps(optimizer.core.state_dict())) == before


def test_hooks_run() -> None:
    net, calls = make_net(), []
    optimizer = Optimizer(net.parameters(), {"kind": "sgd"})
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    optimizer.register_state_dict_post_hook(lambda *_: calls.append("saved"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: calls.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda *_: calls.append("loaded"))
    train(net, optimizer, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    assert calls == ["pre", "post", "saved", "load", "loaded"]


def test_a_gradient_scaler_skips_steps_with_infinities() -> None:
    net = make_net()
    optimizer = Optimizer(net.parameters(), {"kind": "adamw"})
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = train(net, optimizer, 0)
    for factor in (float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale((net(INPUTS) * factor).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert (train(net, optimizer, 0) == before) is (factor != 1.0)
    assert optimizer.core.state.curr_iter == 1
    assert scaler.get_scale() == 2.0


def test_a_group_can_be_added_later() -> None:
    net = make_net()
    optimizer = Optimizer(net[0].named_parameters(prefix="0"), {"kind": "adamw"})
    train(net, optimizer, 1)
    optimizer.add_param_group({"params": list(net[2].named_parameters(prefix="2")), "lr": 0.5})
    before = net[2].weight.clone()
    train(net, optimizer, 1)
    assert not torch.equal(before, net[2].weight)
    assert [optimizer.state[p]["updates"] for p in net.parameters()] == [2, 2, 1, 1]


def test_averages_can_be_evaluated() -> None:
    net = make_net()
    optimizer = Optimizer(net.named_parameters(), {"kind": "adamw", "ema": {"decay": 0.5}})
    train(net, optimizer, 3)
    trained = train(net, optimizer, 0)
    averages = optimizer.evaluation_params()
    with optimizer.evaluation_weights():
        assert all(torch.equal(p, averages[name]) for name, p in net.named_parameters())
        assert train(net, optimizer, 0) != trained
    assert train(net, optimizer, 0) == trained


def test_layouts_and_slices_of_tensors_are_updated_in_place() -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    buffer = torch.randn(8, 6)
    column = buffer[:, ::2].requires_grad_()
    empty = torch.nn.Parameter(torch.zeros(0, 3))
    params = {"conv": conv.weight, "column": column, "empty": empty, "scalar": torch.nn.Parameter(torch.tensor(2.0))}
    reference = {name: p.detach().clone().numpy() for name, p in params.items()}
    optimizer, core = Optimizer(params.items(), {"kind": "adam"}), mxtrain.build({"kind": "adam"})
    for _ in range(2):
        for p in params.values():
            p.grad = torch.randn(p.shape)
        optimizer.step()
        core.step(reference, {name: p.grad.numpy() for name, p in params.items()})
    assert all(np.array_equal(p.detach().numpy(), reference[name]) for name, p in params.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64, torch.float64])
@pytest.mark.parametrize("master", [False, True])
def test_other_dtypes_have_the_bits_of_the_core_and_resume(dtype: Any, master: bool) -> None:
    torch.manual_seed(0)
    config = {"kind": "adamw", "η": 0.01, "master": master}
    p = torch.nn.Parameter(torch.randn(5, 4).to(dtype))
    weight, gradients = p.detach().clone(), [torch.randn(5, 4).to(dtype) for _ in range(4)]
    optimizer, reference = Optimizer([("W", p)], config), mxtrain.build(config)
    for each in gradients[:2]:
        p.grad = each
        optimizer.step()
        reference.step({"W": weight}, {"W": each})
    assert torch.equal(p, weight)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    q = torch.nn.Parameter(p.detach().clone())
    resumed = Optimizer([("W", q)], config)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert sorted(resumed.state[q]) == sorted(optimizer.state[p])
    for each in gradients[2:]:
        p.grad = q.grad = each
        optimizer.step()
        resumed.step()
    assert torch.equal(p, q)
    assert ("master" in optimizer.state[p]) is (master and dtype.itemsize == 2)


def test_mistakes_are_one_line_and_change_nothing() -> None:
    net = make_net()
    embedding = torch.nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    sparse = Optimizer(embedding.parameters(), {"kind": "sgd"})
    integers = torch.zeros(3, dtype=torch.int64)
    integers.grad = torch.ones(3, dtype=torch.int64)
    meta = torch.nn.Parameter(torch.zeros(3, device="meta"))
    meta.grad = torch.zeros(3, device="meta")
    params = list(net.parameters())
    cases: list[tuple[Any, Any, str]] = [
        (sparse.step, ArrayTypeError, "the gradient of weight '0' is sparse .*sparse=False"),
        (Optimizer([integers], {"kind": "sgd"}).step, ArrayError, "int64"),
        (Optimizer([meta], {"kind": "sgd"}).step, ArrayTypeError, "meta"),
        (lambda: Optimizer(params, {"kind": "adamw", "betas": 3}), ConfigError, "betas"),
        (lambda: Optimizer([{"params": params, "lr": -1}], {"kind": "sgd"}), ConfigError, r"param_groups\[0\].lr: must be at least 0"),
        (lambda: Optimizer([{"params": params, "nesterov": 3}], {"kind": "sgd"}), ConfigError, r"param_groups\[0\].nesterov"),
        (lambda: Optimizer([{"params": params, "momentun": 0.9}], {"kind": "sgd"}), ConfigError, r"param_groups\[0\].momentun.*momentum"),
        (lambda: Optimizer([{"params": params, "clip_norm": 1}], {"kind": "sgd"}), ConfigError, "move it out of the groups"),
        (lambda: Optimizer([{"params": params, "betas": 0.9}], {"kind": "adam"}), ConfigError, r"param_groups\[0\].betas: must be a pair"),
        (lambda: Optimizer([("a", params[0]), ("a", params[1])], {"kind": "adam"}), ConfigError, "two parameters have the name 'a'"),
        (Optimizer(with_gradients(net).named_parameters(), {"kind": "sgd", "groups": {"x*": {"η": 1}}}).step, ConfigError, "matches no parameter; the parameters are [a-z0-9., ]*$"),
        (Optimizer(with_gradients(net).parameters(), {"kind": "sgd", "groups": {"x*": {"η": 1}}}).step, ConfigError, r"matches no parameter; the parameters are 0, 1[0-9, ]*; to select parameters by name, pass model.named_parameters\(\)$"),
    ]  # fmt: skip
    before = train(net, sparse, 0)
    for call, error, message in cases:
        with pytest.raises(error, match=message) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1
    assert train(net, sparse, 0) == before
    optimizer = Optimizer(params, {"kind": "sgd"})
    optimizer.param_groups[0]["weight_decay"] = "much"
    with pytest.raises(ConfigError, match=r"^param_groups\[0\].weight_decay: must be a number"):
        optimizer.step()


@pytest.mark.parametrize("change", ["append", "replace", "remove", "remove_group", "delete_lr", "two_rates"])
def test_groups_that_were_changed_from_outside_are_refused(change: str) -> None:
    p, q, other = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = Optimizer([{"params": [p]}, {"params": [q]}], {"kind": "adam"})
    p.grad = q.grad = other.grad = torch.ones(2)
    group, message = optimizer.param_groups[1], "param_groups: its parameters are not those that were added"
    if change == "append":
        group["params"].append(other)
    elif change == "replace":
        group["params"][0] = other
    elif change == "remove":
        group["params"].clear()
    elif change == "remove_group":
        optimizer.param_groups.pop()
    elif change == "delete_lr":
        del group["lr"]
        message = "param_groups[1].lr: was removed; set it again"
    else:
        group["lr"] = torch.tensor([0.1, 0.2])
        message = "param_groups[1].lr: must be a number, got a list"
    with pytest.raises(ConfigError) as caught:
        optimizer.step()
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1
    assert torch.equal(torch.stack([p, q, other]), torch.ones(3, 2))
    assert optimizer.core.state.curr_iter == 0


def test_groups_of_the_wrong_type_are_not_added() -> None:
    optimizer = Optimizer(make_net().parameters(), {"kind": "adam"})
    for wrong, found in ((3, "3"), ({"lr": 0.1}, "a mapping")):
        with pytest.raises(ConfigError) as caught:
            optimizer.add_param_group(wrong)
        assert str(caught.value) == f"param_groups[1]: must be a dict with the key params, got {found}"
    assert len(optimizer.param_groups) == len(optimizer._group_rules) == 1


def test_a_lazy_negative_parameter_is_refused() -> None:
    p = torch.tensor([1 + 1j, 2 - 1j]).conj().imag.detach().requires_grad_()
    p.grad = torch.ones(2)
    with pytest.raises(ArrayTypeError, match=r"^weight '0' is a lazy conjugate or negative view; pass tensor"):
        Optimizer([p], {"kind": "adam"}).step()


def with_gradients(net: Any) -> Any:
    (net(INPUTS)).sum().backward()
    return net


def test_nonfinite_gradients_are_treated_as_the_config_says() -> None:
    net = make_net()
    optimizer = Optimizer(net.parameters(), {"kind": "adam"}, on_nonfinite="skip")
    backward(net, optimizer)
    net[0].weight.grad[0, 0] = float("nan")
    before = train(net, optimizer, 0)
    with pytest.warns(RuntimeWarning, match="skipped"):
        optimizer.step()
    assert train(net, optimizer, 0) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(net, optimizer, 1)
