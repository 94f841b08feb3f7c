"""One table of names: the letter of the literature, and the ASCII words that are accepted for it.

Python folds identifiers by Unicode NFKC (`ϵ` U+03F5 becomes `ε` U+03B5, the micro sign becomes `μ`, `β₁` becomes
`β1`); dict keys and YAML keys are not folded, so they are folded here when read. `display_name` is the way back: the
letter as the documentation prints it.
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
    "η_sched": ("lr_sched", "lr_schedule", "learning_rate_schedule", "eta_sched"),
    "μ_sched": ("momentum_sched", "momentum_schedule", "mu_sched"),
}

LETTERS: dict[str, str] = {word: letter for letter, words in _ASCII.items() for word in words}
"""Every accepted ASCII word and the letter it stands for."""

_SURROGATES = re.compile("[\ud800-\udfff]")


def normalize(name: str) -> str:
    """The name as Python holds it: NFKC-folded.

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
    """The field that `name` means among `fields`; `name` itself, folded, where it means none.

    >>> field_name("learning_rate", {"η", "kind"}), field_name("gama", {"η"})
    ('η', 'gama')
    """
    folded = normalize(name)
    letter = LETTERS.get(folded, folded)
    return letter if folded not in fields and letter in fields else folded


def display_name(name: str) -> str:
    """The name as the documentation prints it: Python's `ε` is the literature's `ϵ`."""
    return "ϵ" if name == "ε" else name


def ascii_names(letter: str) -> tuple[str, ...]:
    """The ASCII words accepted for a letter.

    >>> ascii_names("η")
    ('lr', 'learning_rate', 'eta')
    """
    return _ASCII.get(normalize(letter), ())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most likely meant to be, or None.

    >>> nearest("epocs", ["epochs", "metrics"]), nearest("adma", ["adamax", "adam"])
    ('epochs', 'adam')
    >>> nearest("bayes", ["grid", "tpe", "cmaes"]) is None
    True
    """
    wanted = name.casefold()
    best = max(known, key=lambda candidate: _similarity(wanted, candidate.casefold()), default=None)
    return best if best is not None and _similarity(wanted, best.casefold()) >= 0.65 else None


def _similarity(name: str, candidate: str) -> float:
    """From 0 to 1; swapped letters and a name left unfinished count as one slip."""
    if sorted(name) == sorted(candidate) or (len(name) >= 3 and candidate.startswith(name)):
        return 1.0
    return difflib.SequenceMatcher(None, candidate, name).ratio() if len(name) <= 60 else 0.0
