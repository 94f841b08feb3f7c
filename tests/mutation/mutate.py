"""Mutation tests: change the sources, one place at a time, and list the mutants that survive the tests.

    make mutation                                 # the default sample
    make mutation ARGS='rules schedules -n 40'    # 40 mutants of each of two targets

Cosmic Ray supplies the mutation operators (comparisons, arithmetic, numbers, conditions, loops, exceptions); an operator
that deletes a statement is added here. Each mutant is a copy of the checkout, in which the tests of the target run until the
first failure.
"""

import argparse
import ast
import difflib
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import parso
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[2]
TARGETS = tomllib.loads(Path(__file__).with_name("targets.toml").read_text())
COPIED = (
    "mxtrain",
    "tests",
    "configs",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
)


class DeleteStatement(Operator):
    """Replace a call or an assignment that is a whole statement with `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and node.children[0].type in ("atom_expr", "expr_stmt", "power"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        replaced = parso.parse("pass\n").children[0]
        replaced.get_first_leaf().prefix = node.get_first_leaf().prefix
        return replaced

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


# the excluded operators need arguments, or cannot change `except (A, B)`
EXCLUDED = ("VariableReplacer", "VariableInserter", "ExceptionReplacer")
OPERATORS = {name: get_operator(name) for name in operator_names() if not name.endswith(EXCLUDED)}
OPERATORS["DeleteStatement"] = DeleteStatement


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    target: str
    module: str
    operator: str
    source: str
    mutated: str

    def __str__(self) -> str:
        lines = difflib.unified_diff(self.source.splitlines(), self.mutated.splitlines(), self.module, lineterm="", n=1)
        return "\n".join(itertools.islice(lines, 2, None))


class _WithoutAnnotations(ast.NodeTransformer):
    """Removal of annotations, which do not change how the program runs."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def _program(source: str) -> str:
    return ast.dump(_WithoutAnnotations().visit(ast.parse(source)))


class _Positions(Visitor):
    """The lines where an operator applies, in the order of Cosmic Ray's occurrence numbers."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.lines: list[int] = []

    def visit(self, node: Any) -> Any:
        self.lines += [start[0] for start, _ in self.operator.mutation_positions(node)]
        return node


def find_operators(module: Path) -> dict[int, list[tuple[str, int]]]:
    """Return the operators that apply to each line of a module, each with its occurrence number."""
    tree = get_ast(module.read_text())
    by_line: dict[int, list[tuple[str, int]]] = {}
    for name, operator in OPERATORS.items():
        positions = _Positions(operator())
        positions.walk(tree)
        for occurrence, line in enumerate(positions.lines):
            by_line.setdefault(line, []).append((name, occurrence))
    return by_line


def first_mutant(target: str, module: Path, choices: list[tuple[str, int]]) -> Mutant | None:
    """Return the mutant of the first choice that changes the program of a module; None if there is no such choice."""
    source = module.read_text()
    for name, occurrence in choices:
        mutated = mutate_code(source, OPERATORS[name](), occurrence)
        with suppress(SyntaxError):
            if mutated and _program(mutated) != _program(source):
                return Mutant(target, module.relative_to(ROOT).as_posix(), name, source, mutated)
    return None


def sample(target: str, count: int, seed: int) -> list[Mutant]:
    """Sample mutants of a target: a line first, then an operator, so that operators with many variants do not dominate."""
    generator = random.Random(f"{target} {seed}")
    modules = [module for pattern in TARGETS[target]["modules"] for module in sorted(ROOT.glob(pattern))]
    lines = [(module, choices) for module in modules for _, choices in sorted(find_operators(module).items())]
    generator.shuffle(lines)
    mutants = (first_mutant(target, module, generator.sample(choices, len(choices))) for module, choices in lines)
    return list(itertools.islice((mutant for mutant in mutants if mutant), count))


def copy_checkout(folder: Path) -> Path:
    """Copy all files that the tests read into `folder`."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        elif source.exists():
            shutil.copy2(source, folder / name)
    return folder


def run_mutant(mutant: Mutant, checkout: Path, timeout: float) -> str:
    """Run the tests of the target on a mutant in a copy of the checkout, and return the outcome."""
    path = checkout / mutant.module
    path.write_text(mutant.mutated)
    env = os.environ | {
        "PYTHONPATH": str(checkout),
        "MXTRAIN_CACHE_DIR": str(checkout / ".cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TARGETS[mutant.target]["tests"]]
    process = subprocess.Popen(
        command, cwd=checkout, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return "killed" if process.wait(timeout) else "SURVIVED"
    except subprocess.TimeoutExpired:
        return "timed out"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
        path.write_text(mutant.source)


def main() -> int:
    """Print each mutant with its outcome; return 1 if one survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"any of {', '.join(TARGETS)}; all by default")
    parser.add_argument("-n", type=int, default=30, help="mutants per target (default 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the tests of one mutant (default 600)")
    args = parser.parse_args()
    if unknown := set(args.targets) - set(TARGETS):
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}")
    targets = args.targets or list(TARGETS)
    text = (ROOT / "pyproject.toml").read_text()
    unchanged = [Mutant(target, "pyproject.toml", "", text, text) for target in targets]
    mutants = [mutant for target in targets for mutant in sample(target, args.n, args.seed)]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(args.jobs) as pool:
        checkouts: SimpleQueue[Path] = SimpleQueue()
        for job in range(args.jobs):
            checkouts.put(copy_checkout(Path(scratch, str(job))))

        def run_in_free_checkout(mutant: Mutant) -> str:
            checkout = checkouts.get()
            try:
                return run_mutant(mutant, checkout, args.timeout)
            finally:
                checkouts.put(checkout)

        for mutant, outcome in zip(unchanged, pool.map(run_in_free_checkout, unchanged), strict=True):
            if outcome != "SURVIVED":
                print(f"the tests of {mutant.target} fail on the unchanged sources ({outcome}); fix them first")
                return 2
        outcomes: Counter[str] = Counter()
        for number, (mutant, outcome) in enumerate(
            zip(mutants, pool.map(run_in_free_checkout, mutants), strict=True), 1
        ):
            outcomes[outcome] += 1
            print(f"{number}/{len(mutants)} {mutant.target} {outcome} {mutant.module} {mutant.operator}", flush=True)
            if outcome != "killed":
                print(mutant, flush=True)
    print(f"{len(mutants)} mutants: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.most_common())}")
    return outcomes["SURVIVED"] > 0


if __name__ == "__main__":
    sys.exit(main())
