"""Plant faults in the sources, one at a time, and list those that no test notices.

    make mutation                                 # the default sample
    make mutation ARGS='rules schedules -n 40'    # 40 faults in each of two targets

Cosmic Ray supplies the operators (comparisons, arithmetic, numbers, conditions, loops, exceptions); one is added that
deletes a statement. Each fault is planted in a copy of the checkout, where the target's tests run until the first failure.
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
class Fault:
    """One changed place of one module."""

    target: str
    module: str
    operator: str
    source: str
    mutated: str

    def __str__(self) -> str:
        lines = difflib.unified_diff(self.source.splitlines(), self.mutated.splitlines(), self.module, lineterm="", n=1)
        return "\n".join(itertools.islice(lines, 2, None))


class _WithoutAnnotations(ast.NodeTransformer):
    """Drop what changes nothing when the program runs: annotations and docstrings."""

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
    """List the places where an operator applies, in the order in which Cosmic Ray counts them."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.lines: list[int] = []

    def visit(self, node: Any) -> Any:
        self.lines += [start[0] for start, _ in self.operator.mutation_positions(node)]
        return node


def places(module: Path) -> dict[int, list[tuple[str, int]]]:
    """Return, for each line of a module, the operators that apply to it, each with its occurrence."""
    tree = get_ast(module.read_text())
    found: dict[int, list[tuple[str, int]]] = {}
    for name, operator in OPERATORS.items():
        positions = _Positions(operator())
        positions.walk(tree)
        for occurrence, line in enumerate(positions.lines):
            found.setdefault(line, []).append((name, occurrence))
    return found


def fault_in(target: str, module: Path, choices: list[tuple[str, int]]) -> Fault | None:
    """Return the first of `choices` that changes the module's program, or None."""
    source = module.read_text()
    for name, occurrence in choices:
        mutated = mutate_code(source, OPERATORS[name](), occurrence)
        with suppress(SyntaxError):
            if mutated and _program(mutated) != _program(source):
                return Fault(target, module.relative_to(ROOT).as_posix(), name, source, mutated)
    return None


def sample(target: str, count: int, seed: int) -> list[Fault]:
    """Draw faults of a target: first a line, then one of its faults, so that operators with many forms do not dominate."""
    chooser = random.Random(f"{target} {seed}")
    modules = [module for pattern in TARGETS[target]["modules"] for module in sorted(ROOT.glob(pattern))]
    lines = [(module, choices) for module in modules for _, choices in sorted(places(module).items())]
    chooser.shuffle(lines)
    drawn = (fault_in(target, module, chooser.sample(choices, len(choices))) for module, choices in lines)
    return list(itertools.islice((fault for fault in drawn if fault), count))


def copy_checkout(folder: Path) -> Path:
    """Copy what the tests read into `folder`."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        elif source.exists():
            shutil.copy2(source, folder / name)
    return folder


def outcome(fault: Fault, checkout: Path, timeout: float) -> str:
    """Run the target's tests on a copy of the checkout that has the fault, and say how they ended."""
    path = checkout / fault.module
    path.write_text(fault.mutated)
    env = os.environ | {
        "PYTHONPATH": str(checkout),
        "MXTRAIN_CACHE_DIR": str(checkout / ".cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TARGETS[fault.target]["tests"]]
    process = subprocess.Popen(
        command, cwd=checkout, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return "noticed" if process.wait(timeout) else "NOT NOTICED"
    except subprocess.TimeoutExpired:
        return "timed out"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
        path.write_text(fault.source)


def main() -> int:
    """Print each fault with its outcome; exit with 1 where one was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"any of {', '.join(TARGETS)}; all by default")
    parser.add_argument("-n", type=int, default=30, help="faults in each target (default 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the tests of one fault (default 600)")
    args = parser.parse_args()
    if unknown := set(args.targets) - set(TARGETS):
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}")
    targets = args.targets or list(TARGETS)
    text = (ROOT / "pyproject.toml").read_text()
    unchanged = [Fault(target, "pyproject.toml", "", text, text) for target in targets]
    chosen = [fault for target in targets for fault in sample(target, args.n, args.seed)]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(args.jobs) as pool:
        checkouts: SimpleQueue[Path] = SimpleQueue()
        for job in range(args.jobs):
            checkouts.put(copy_checkout(Path(scratch, str(job))))

        def try_one(fault: Fault) -> str:
            checkout = checkouts.get()
            try:
                return outcome(fault, checkout, args.timeout)
            finally:
                checkouts.put(checkout)

        for fault, ended in zip(unchanged, pool.map(try_one, unchanged), strict=True):
            if ended != "NOT NOTICED":
                print(f"the tests of {fault.target} do not pass without a fault: {ended}")
                return 2
        outcomes: Counter[str] = Counter()
        for number, (fault, ended) in enumerate(zip(chosen, pool.map(try_one, chosen), strict=True), 1):
            outcomes[ended] += 1
            print(f"{number}/{len(chosen)} {fault.target} {ended} {fault.module} {fault.operator}", flush=True)
            if ended != "noticed":
                print(fault, flush=True)
    print(f"{len(chosen)} faults: {', '.join(f'{count} {ended}' for ended, count in outcomes.most_common())}")
    return outcomes["NOT NOTICED"] > 0


if __name__ == "__main__":
    sys.exit(main())
