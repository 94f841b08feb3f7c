"""Kill the drivers of pruned sweeps, delete their studies in between, and compare with undisturbed sweeps.

Run by hand: `python -m tests.sweeps.kill_storm [KILLS] [SEED]`. Each pruner (asha, hyperband, median) is combined with one
seed and with three; KILLS (60) is the total. The exit status is 1 if a table differs, a folder is archived, a
checkpoint is lost, or a finished run is trained again.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mxtrain.training import Checkpoints
from tests.sweeps.conftest import small, table

PRUNERS = (
    {"kind": "asha", "reduction": 3},
    {"kind": "hyperband", "reduction": 3},
    {"kind": "median", "startup": 2, "warmup": 1},
)


def main(kills: int, seed: int) -> int:
    """Kill drivers of each kind of sweep, and return the number of faults."""
    rng, faults = random.Random(seed), 0
    combinations = [(pruner, seeds) for pruner in PRUNERS for seeds in (1, 3)]
    for pruner, seeds in combinations:
        with tempfile.TemporaryDirectory() as name:
            storm = Storm(Path(name), pruner, seeds, rng)
            done = storm.run(-(-kills // len(combinations)))
            print(f"{pruner['kind']}, {seeds} seeds: {done}", *storm.faults, sep="\n  ", flush=True)
            faults += len(storm.faults)
    return faults


class Storm:
    """A sweep whose drivers are killed."""

    def __init__(self, folder: Path, pruner: dict[str, object], seeds: int, rng: random.Random) -> None:
        self.folder, self.rng, self.faults = folder, rng, list[str]()
        fit = {"epochs": 27, "metrics": ["accuracy"]}
        sampler = "tpe" if pruner["kind"] == "asha" else "random"
        config = small(name="storm", fit=fit, sampler={"kind": sampler}, pruner=pruner, seeds=seeds)
        config["sweep"] |= {"trials": 10 if seeds == 1 else 8, "parallel": 2, "workers": 2}
        (folder / "storm.yaml").write_text(json.dumps(config))

    def run(self, kills: int) -> str:
        """Kill `kills` drivers, in as many sweeps as needed, and return a summary."""
        self.finish("whole")
        whole = self.table("whole")
        killed = lost = sweeps = 0
        while killed < kills and len(self.faults) < 5:
            sweeps += 1
            name = f"sweep-{sweeps}"
            positions: dict[Path, tuple[tuple[int, int], int]] = {}
            while killed < kills:
                number = self.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
                if not self.kill(name, number):
                    break
                killed += 1
                positions = self.check_positions(name, positions)
                if self.rng.random() < 0.5 and (self.folder / name / "study.db").exists():
                    (self.folder / name / "study.db").unlink()
                    lost += 1
            self.finish(name)
            self.check_positions(name, positions)
            for _ in range(2):
                if self.table(name) != whole:
                    self.faults.append(f"{name}: another table")
                (self.folder / name / "study.db").unlink()
                self.finish(name)  # from the folders only
            archived = [path.name for path in (self.folder / name / "trials").iterdir() if "failed" in path.name]
            logs = "".join(log.read_text() for log in (self.folder / name / "logs").glob("*"))
            self.faults += [f"{name}: {each} was archived" for each in archived]
            self.faults += [f"{name}: a worker's log holds a traceback"] * ("Traceback" in logs)
            shutil.rmtree(self.folder / name)
        states = [row["state"] for row in whole]
        return (
            f"{killed} kills in {sweeps} sweeps, {lost} studies lost; {states.count('pruned')} of {len(states)} pruned"
        )

    def kill(self, name: str, number: int) -> bool:
        """Start a driver, send it a signal at a random moment, and return True if it was still running."""
        driver = subprocess.Popen(self.command(name), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        trials = self.folder / name / "trials"
        while driver.poll() is None and not trials.exists():
            time.sleep(0.02)
        try:
            _, message = driver.communicate(timeout=0.5 + self.rng.random() * 3)
        except subprocess.TimeoutExpired:
            driver.send_signal(number)
            _, message = driver.communicate()
            was_running = True
        else:
            was_running = False
        if driver.returncode not in (0, -number, 130) or "Traceback" in message:
            self.faults.append(f"{name}: status {driver.returncode}: {message}")
        return was_running

    def check_positions(
        self, name: str, before: dict[Path, tuple[tuple[int, int], int]]
    ) -> dict[Path, tuple[tuple[int, int], int]]:
        """Compare the progress of runs with an earlier one: no run loses epochs, no finished run is trained again."""
        now = {}
        for folder in (self.folder / name / "trials").rglob("checkpoints"):
            model = folder.with_name("model.safetensors")
            position = Checkpoints(folder, keep=1).newest_position()
            now[folder] = position, model.stat().st_mtime_ns if model.exists() else 0
            old, written = before.get(folder, ((0, 0), 0))
            if position < old:
                self.faults.append(f"{folder} went back from {old} to {position}")
            if written and written != now[folder][1]:
                self.faults.append(f"{folder} was trained again")
        self.faults += [f"{folder} is gone" for folder in before.keys() - now.keys()]
        return now

    def finish(self, name: str) -> None:
        """Run the sweep to its end."""
        done = subprocess.run(self.command(name), capture_output=True, text=True)
        if done.returncode:
            self.faults.append(f"{name}: status {done.returncode}: {done.stderr}")

    def command(self, name: str) -> list[str]:
        """Return the command of a driver."""
        program = "import sys; from mxtrain.cli.main import main; sys.exit(main())"
        file = self.folder / "storm.yaml"
        return [sys.executable, "-c", program, "sweep", str(file), "--quiet", "--run-dir", str(self.folder / name)]

    def table(self, name: str) -> list[dict[str, object]]:
        """Return the rows that must not depend on interruptions."""
        return table(json.loads((self.folder / name / "results.json").read_text())["trials"])


if __name__ == "__main__":
    arguments = [*map(int, sys.argv[1:]), *(60, 0)[len(sys.argv) - 1 :]]
    sys.exit(bool(main(*arguments)))
