"""Names of hyperparameters: Greek letters and their ASCII names.

Python normalizes identifiers to Unicode NFKC (`ϵ` U+03F5 becomes `ε` U+03B5, the micro sign becomes `μ`, `β₁` becomes
`β1`), but not the keys of dicts and YAML files, which `normalize` handles. `display_name` is the inverse: the letter as
the documentation prints it.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable

_ASCII: dict[str, tuple[str, ...]] = {
    "η": ("lr", "learning_rate", "eta"),
    "μ": ("momentum", "mu"),
    "λ": ("weight_decay", "wd", "lambda", "lambda_"),
    "ε": ("eps", "epsilon"),
    "β1": ("beta1", "beta_1"),
    "β2": ("beta2", "beta_2"),
    "ρ": ("rho",),
    "γ": ("gamma",),
    "δ": ("delta",),
    "α": ("alpha",),
    "β": ("beta",),
    "β3": ("beta3", "beta_3"),
    "β_factors": ("beta_factors", "shampoo_beta"),
    "λ1": ("l1", "lambda1", "lambda_1"),
    "ε1": ("eps1", "epsilon1", "eps_1"),
    "ε2": ("eps2", "epsilon2", "eps_2"),
    "τ": ("tau",),
    "α_warmup": ("alpha_warmup",),
    "β3_warmup": ("beta3_warmup",),
    "μ_low": ("momentum_low", "mu_low", "base_momentum"),
    "μ_high": ("momentum_high", "mu_high", "max_momentum"),
    "η_sched": ("lr_sched", "lr_schedule", "learning_rate_schedule", "eta_sched"),
    "μ_sched": ("momentum_sched", "momentum_schedule", "mu_sched"),
}

LETTERS: dict[str, str] = {word: letter for letter, words in _ASCII.items() for word in words}
"""Every accepted ASCII name, with its letter."""

_DISPLAY_NAMES = {"ε": "ϵ", "ε1": "ϵ1", "ε2": "ϵ2", "coefficients_": "coefficients", "slots_": "slots"}
"""Names of fields that the documentation prints otherwise; rules have `coefficients` and `slots` of their own."""
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "squared_error": ("mse", "l2", "mean_squared_error", "least_squares"),
    "softmax_cross_entropy": ("cross_entropy", "crossentropy", "ce", "nll", "categorical_crossentropy"),
    "logistic": ("bce", "binary_cross_entropy", "binary_crossentropy", "log_loss"),
    "sigmoid": ("logistic", "expit"),
    "mae": ("mean_absolute_error", "l1"),
    "rmse": ("root_mean_squared_error",),
    "accuracy": ("acc",),
    "roc_auc": ("auc", "auroc"),
    "average_precision": ("ap", "pr_auc", "auprc"),
    "brier": ("brier_score",),
    "r2": ("r_squared", "rsquared", "r2_score"),
    "mlp": ("nn", "dense", "neural_network"),
    "sgd": ("momentum", "nesterov"),
    "exp": ("exponential",),
    "inv": ("inverse",),
    "fixed": ("constant",),
    "in_memory": ("numpy", "pandas", "array"),
    "cupy": ("gpu", "cuda"),
    "numpy": ("cpu",),
    "compiled": ("numba", "jit"),
    "raise": ("error",),
    "error": ("raise",),
    "tensorboard": ("tb",),
}
"""Names that other programs have for the choices of a config, from which an error message guesses."""

_SURROGATES = re.compile("[\ud800-\udfff]")


def normalize(name: str) -> str:
    """Return a name in Unicode NFKC, the form of Python's identifiers.

    >>> normalize("ϵ") == "ε", normalize("µ") == "μ", normalize("β₁")
    (True, True, 'β1')
    """
    return unicodedata.normalize("NFKC", name)


def is_unicode(text: str) -> bool:
    """Return True if a text can be encoded as UTF-8: it contains no half of a surrogate pair."""
    return _SURROGATES.search(text) is None


def nfc(name: str) -> str:
    """Return a name in Unicode's composed form, NFC, in which names of data and configs are compared.

    >>> nfc("gro\u0308ße") == "größe"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def field_name(name: str, fields: Collection[str]) -> str:
    """Return the field with this name among `fields`, or the normalized name if there is none.

    >>> field_name("learning_rate", {"η", "kind"}), field_name("gama", {"η"})
    ('η', 'gama')
    """
    normalized = normalize(name)
    letter = LETTERS.get(normalized, normalized)
    return letter if normalized not in fields and letter in fields else normalized


def display_name(name: str) -> str:
    """Return a name as the documentation prints it: `ϵ` for Python's `ε`.

    >>> display_name("ε"), display_name("ε1"), display_name("step")
    ('ϵ', 'ϵ1', 'step')
    """
    return _DISPLAY_NAMES.get(name, name)


def ascii_names(letter: str) -> tuple[str, ...]:
    """Return the ASCII names of a letter.

    >>> ascii_names("η")
    ('lr', 'learning_rate', 'eta')
    """
    return _ASCII.get(normalize(letter), ())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`; None if none is similar.

    >>> nearest("epocs", ["epochs", "metrics"]), nearest("adma", ["adamax", "adam"])
    ('epochs', 'adam')
    >>> nearest("mse", ["softmax_cross_entropy", "squared_error"])
    'squared_error'
    >>> nearest("bayes", ["grid", "tpe", "cmaes"]) is None
    True
    """
    folded, known = name.casefold(), list(known)
    for choice in known:
        if folded.replace("-", "_") in _OTHER_NAMES.get(choice, ()) and folded not in known:
            return choice
    best = max(known, key=lambda candidate: _similarity(folded, candidate.casefold()), default=None)
    return best if best is not None and _similarity(folded, best.casefold()) >= 0.65 else None


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the remedy for an unknown name: the known name that is most similar, or `otherwise`.

    >>> suggest("adma", ["adamax", "adam"], otherwise="the rules are adam, adamax")
    'did you mean adam?'
    """
    guess = nearest(name, known)
    return f"did you mean {guess}?" if guess else otherwise


def _similarity(name: str, candidate: str) -> float:
    """Return a similarity from 0 to 1, which is 1 for swapped letters and incomplete names."""
    if sorted(name) == sorted(candidate) or (len(name) >= 3 and candidate.startswith(name)):
        return 1.0
    return difflib.SequenceMatcher(None, candidate, name).ratio() if len(name) <= 60 else 0.0
