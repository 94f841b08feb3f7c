"""Wrappers around five rules in plain float64 NumPy, written from their definitions and apart from the package."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Slots = dict[str, np.ndarray]


def _sgd(c: Mapping[str, Any], t: int, g: np.ndarray, s: Slots) -> np.ndarray:
    s["v"] = c["μ"] * s.get("v", 0) - c["η"] * g
    return s["v"]


def _signum(c: Mapping[str, Any], t: int, g: np.ndarray, s: Slots) -> np.ndarray:
    s["m"] = c["μ"] * s.get("m", 0) + (1 - c["μ"]) * g
    return -c["η"] * np.sign(s["m"])


def _adam(c: Mapping[str, Any], t: int, g: np.ndarray, s: Slots) -> np.ndarray:
    s["m"] = c["β1"] * s.get("m", 0) + (1 - c["β1"]) * g
    s["v"] = c["β2"] * s.get("v", 0) + (1 - c["β2"]) * g * g
    a = np.sqrt(1 - c["β2"] ** t) / (1 - c["β1"] ** t)
    floor = c["ϵ"] * (np.sqrt(1 - c["β2"] ** t) if c["kind"] == "adamw" else 1)
    return -c["η"] * a * s["m"] / (np.sqrt(s["v"]) + floor)


def _lion(c: Mapping[str, Any], t: int, g: np.ndarray, s: Slots) -> np.ndarray:
    m = s.get("m", np.zeros_like(g))
    s["m"] = c["β2"] * m + (1 - c["β2"]) * g
    return -c["η"] * np.sign(c["β1"] * m + (1 - c["β1"]) * g)


_INCREMENTS: dict[str, Callable[..., np.ndarray]] = {
    "sgd": _sgd, "signum": _signum, "adam": _adam, "adamw": _adam, "lion": _lion,
}  # fmt: skip

RULES: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd", "η": 0.05, "μ": 0.9, "λ": 0.1},
    "signum": {"kind": "signum", "η": 0.02, "μ": 0.8, "λ": 0.1},
    "adam": {"kind": "adam", "η": 0.03, "β1": 0.9, "β2": 0.99, "ϵ": 1e-8, "λ": 0.1},
    "adamw": {"kind": "adamw", "η": 0.03, "β1": 0.9, "β2": 0.99, "ϵ": 1e-8, "λ": 0.1},
    "lion": {"kind": "lion", "η": 0.02, "β1": 0.9, "β2": 0.99, "λ": 0.1},
}
"""The five rules, with every number that they use."""


class Reference:
    """An optimizer with wrappers.

    Args:
        config: the config of a rule of `RULES`, with wrappers.
        params: the parameters; updated in place.
    """

    def __init__(self, config: Mapping[str, Any], params: Arrays) -> None:
        self.c, self.params = dict(config), params
        self.slots: dict[str, Slots] = {name: {} for name in params}
        self.slow = {name: W.copy() for name, W in params.items()}
        self.average = {name: np.zeros_like(W) for name, W in params.items()}
        self.t = self.skipped = 0
        self.pending: list[Arrays] = []

    def step(self, grads: Arrays) -> None:
        """Take one step."""
        c = self.c
        if c.get("skip_nonfinite") and not all(np.isfinite(g).all() for g in grads.values()):
            self.skipped += 1
            return
        self.pending.append(grads)
        if len(self.pending) < c.get("accumulate", 1):
            return
        g = {name: _mean([each[name] for each in self.pending]) for name in grads}
        self.pending = []
        scale = c.get("scale", 0) or 1
        g = {name: scale * each for name, each in g.items()}
        norm = np.sqrt(sum((each**2).sum() for each in g.values()))
        if c.get("clip_norm") and norm > c["clip_norm"]:
            g = {name: each * (c["clip_norm"] / norm) for name, each in g.items()}
        self.t += 1
        for name, W in self.params.items():
            self._update(name, W, g[name])

    def _update(self, name: str, W: np.ndarray, g: np.ndarray) -> None:
        c = self.c
        if c.get("agc"):
            g = _clip_columns(W, g, c["agc"].get("clipping", 0.01), c["agc"].get("ϵ", 1e-3))
        if c.get("clip"):
            g = np.clip(g, -c["clip"], c["clip"])
        decoupled = c.get("decoupled", c["kind"] in ("adamw", "lion"))
        if not decoupled:
            g = g + c["λ"] * W
        low, high = c.get("bounds") or (None, None)
        low, high = (-np.inf if low is None else low), (np.inf if high is None else high)
        g = np.where((low >= W) & (g > 0) | (high <= W) & (g < 0), 0, g)
        ηmax = c["η"]
        η = ηmax * c["η_sched"]["γ"] ** (self.t - 1) if "η_sched" in c else ηmax
        change = _INCREMENTS[c["kind"]](c | {"η": η}, self.t, g, self.slots[name])
        if c.get("cautious"):
            kept = (change * g < 0).astype(float)
            change = change * (kept / max(kept.mean(), 1e-3))
        if decoupled:
            change = change - η * c["λ"] * (η / ηmax if c.get("corrected") else 1) * W
        W[...] = np.clip(W + change, low, high)
        if c.get("lookahead"):
            ahead = {"period": 6, "slow_step": 0.5} | c["lookahead"]
            if self.t % ahead["period"] == 0:
                moved = self.slow[name] + ahead["slow_step"] * (W - self.slow[name])
                self.slow[name] = np.clip(moved, low, high)
                W[...] = self.slow[name]
        if c.get("ema"):
            ema = {"decay": 0.999, "corrected": True} | c["ema"]
            is_start = self.t == 1 and not ema["corrected"]
            self.average[name] = W.copy() if is_start else ema["decay"] * self.average[name] + (1 - ema["decay"]) * W

    def evaluation(self) -> Arrays:
        """Return the weights to evaluate."""
        if self.c.get("ema"):
            ema = {"decay": 0.999, "corrected": True} | self.c["ema"]
            correction = 1 - ema["decay"] ** self.t if ema["corrected"] else 1.0
            return {name: each / correction for name, each in self.average.items()}
        return self.slow if self.c.get("lookahead") else self.params


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    total = arrays[0]
    for each in arrays[1:]:
        total = total + each
    return total / len(arrays)


def _clip_columns(W: np.ndarray, g: np.ndarray, clipping: float, ϵ: float) -> np.ndarray:
    axes = tuple(range(g.ndim - 1)) if sum(side > 1 for side in g.shape) > 1 else None

    def norms(x: np.ndarray) -> np.ndarray:
        return np.sqrt((x**2).sum(axis=axes, keepdims=True))

    bound = clipping * np.maximum(norms(W), ϵ)
    return np.where(norms(g) >= bound, g * (bound / np.maximum(norms(g), 1e-6)), g)
