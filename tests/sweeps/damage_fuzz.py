"""Flip single bits in the files of a finished sweep, and continue it.

Run by hand: `python -m tests.sweeps.damage_fuzz [FLIPS] [SEED]`. FLIPS (150) bits are flipped in study.db, and as many in
sweep.yaml, results.json and the files of the trials, with the study and without it. Each outcome must be the same table
or a one-line error; otherwise the exit status is 1.
"""

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import mxtrain
from mxtrain.cli.main import main as run_command
from tests.sweeps.conftest import small, table


def main(flips: int, seed: int) -> int:
    """Flip bits, and return the number of faults."""
    rng, faults = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as name:
        whole, damaged = Path(name, "whole"), Path(name, "sweep")
        pruner = {"kind": "asha", "reduction": 2}
        search = {"optimizer.η": {"choice": [0.0001, 0.001, 0.01, 1e30]}}  # one diverges
        config = small(search=search, optimizer={"kind": "sgd"}, pruner=pruner, parallel=2, sampler={"kind": "tpe"})
        mxtrain.sweep(config, run_dir=damaged, workers=2)
        expected = table(json.loads((damaged / "results.json").read_text())["trials"])
        damaged.rename(whole)
        others = [whole / "sweep.yaml", whole / "results.json"]
        kinds = "config.yaml", "metrics.jsonl", "status.json"
        others += [file for kind in kinds for file in whole.rglob(kind) if file.stat().st_size]
        for title, files in {"study.db": [whole / "study.db"], "other files": others}.items():
            outcomes: Counter[str] = Counter()
            for _ in range(flips):
                shutil.rmtree(damaged, ignore_errors=True)
                shutil.copytree(whole, damaged)
                file = damaged / rng.choice(files).relative_to(whole)
                place = flip(file, rng)
                if file.name != "study.db" and rng.random() < 0.5:
                    (damaged / "study.db").unlink()
                outcome, detail = resume_damaged(damaged, is_status=file.name == "results.json", expected=expected)
                outcomes[outcome] += 1
                if outcome not in ("same table", "one line"):
                    faults += 1
                    print(f"{file.relative_to(damaged)}, {place}: {outcome}\n{detail}", flush=True)
            print(f"{title}: {dict(outcomes)}", flush=True)
    return faults


def flip(file: Path, rng: random.Random) -> str:
    """Flip one bit, mostly in a byte that is not 0, and return its place."""
    content = bytearray(file.read_bytes())
    used = [i for i, byte in enumerate(content) if byte or rng.random() < 0.02]
    place, bit = rng.choice(used), rng.randrange(8)
    content[place] ^= 1 << bit
    file.write_bytes(content)
    return f"byte {place}, bit {bit}"


def resume_damaged(folder: Path, is_status: bool, expected: object) -> tuple[str, str]:
    """Return the outcome of the command that reads the damaged file, and its message."""
    command = ["sweep", str(folder), "--status"] if is_status else ["resume", str(folder), "--workers", "1", "--quiet"]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run_command([*command, "--json"])
    except BaseException:  # noqa: BLE001 - each is a fault
        return "traceback", traceback.format_exc()
    message = err.getvalue()
    if status or not out.getvalue():
        return ("one line" if len(message.splitlines()) == 1 else "several lines"), message
    return ("same table" if table(json.loads(out.getvalue())["trials"]) == expected else "another table"), message


if __name__ == "__main__":
    arguments = [*map(int, sys.argv[1:]), *(150, 0)[len(sys.argv) - 1 :]]
    sys.exit(bool(main(*arguments)))
