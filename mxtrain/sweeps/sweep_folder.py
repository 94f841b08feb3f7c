"""The folder of a sweep: its files and its lock."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any

from mxtrain.atomic_io import (
    describe_os_error,
    make_folder,
    parse_json,
    read_file,
    refuse_link,
    remove_temporary_files,
    temporary_target,
)
from mxtrain.config import RunConfig, Sweep, read_sweep, to_yaml
from mxtrain.config.dotted_paths import first_differences, flatten
from mxtrain.config.error_messages import DATA_PATHS
from mxtrain.errors import (
    ConfigError,
    ConfigProblem,
    RunMismatchError,
    SweepError,
    SweepRequestError,
    is_wrong_path,
    resume_command,
)
from mxtrain.paths import expand_home, normalize_path
from mxtrain.sweeps.checksums import (
    CHECKSUM_KEY,
    changed_files,
    digest,
    has_wrong_checksum,
    has_wrong_digest,
    run_checksums,
    with_checksum_header,
)
from mxtrain.sweeps.result import SweepResult
from mxtrain.sweeps.trial_result import TrialResult
from mxtrain.training import check_same_run, folder_lock, is_folder_locked, write_file
from mxtrain.training.run_folder.history import METRICS
from mxtrain.training.run_folder.locking import LOCK
from mxtrain.training.run_folder.run_directory import CONFIG

SWEEPS = Path("sweeps")
SWEEP_FILE = "sweep.yaml"
MUTABLE_SETTINGS = ("sweep.trials", "sweep.workers", "sweep.storage")
"""Settings that may change when a sweep is continued, because no trial depends on them."""


class SweepFolder:
    """The folder of a sweep.

    sweep.yaml         the complete config with all defaults; it can be run again unchanged
    study.db           every ended trial, in the format of Optuna's own tools
    trials/0000/       the folder of each trial's run; with several seeds it holds seed-0, seed-1, …
    results.json       the trials as rows, and the best one
    best.yaml          the best trial's run, for `mxtrain fit`
    logs/              the stderr of the workers
    """

    def __init__(self, path: Path) -> None:
        self.typed_path = Path(expand_home(str(path)))
        """The folder as the user typed it, for messages."""
        self.path = self.typed_path.absolute()

    @property
    def file(self) -> Path:
        """The sweep's file."""
        return self.path / SWEEP_FILE

    @property
    def logs(self) -> Path:
        """The folder for what workers write to stderr."""
        return self.path / "logs"

    @staticmethod
    def holds_sweep(path: Path) -> bool:
        """Return True if a folder is that of a sweep."""
        return (Path(expand_home(str(path))) / SWEEP_FILE).is_file()

    def make(self) -> None:
        """Create the folder.

        Raises:
            SweepError: it cannot be created, or holds something else.
        """
        self.check_names()
        try:
            make_folder(self.path)
        except OSError as error:
            raise self._folder_error("created", error.strerror, error) from error

    def check_names(self) -> None:
        """Refuse a folder that holds something else; called again once the folder is locked.

        Raises:
            SweepError: it does, or a folder in it is a link, so that trials would be written elsewhere.
        """
        try:
            names = {entry.name for entry in self.path.iterdir()} - {LOCK}
            for name in ("trials", "logs"):
                refuse_link(self.path / name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._folder_error("used", describe_os_error(error), error) from error
        names = {name for name in names if temporary_target(name) != SWEEP_FILE}
        if names and not names & {SWEEP_FILE, "study.db", "trials"}:  # sweep.yaml may be lost; the study identifies it
            raise SweepRequestError(
                f"{self.typed_path} is not empty and holds no sweep; name another folder with --run-dir"
            )

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder against other drivers.

        Raises:
            FolderBusyError: another driver has locked it.
        """
        return folder_lock(self.path, f"another process runs the sweep in {self.typed_path}; wait for it, or stop it")

    @property
    def is_running(self) -> bool:
        """True if a driver may be running the sweep; checking writes nothing."""
        try:
            return is_folder_locked(self.path)
        except OSError:
            return False  # a driver could not lock it either

    def claim(self, sweep: Sweep) -> Sweep:
        """Write the sweep's file, in a folder that is locked; refuse a folder that holds another sweep.

        Returns:
            The sweep, with the paths of its data as they were spelled when it started, as these identify its study.

        Raises:
            ConfigError: the folder's sweep differs in settings that cannot change; lists every difference.
            SweepError: the file cannot be written.
        """
        self.check_names()
        remove_temporary_files(self.path, (SWEEP_FILE, "results.json", "best.yaml"))
        if (recorded := self._read_recorded_sweep()) is not None:
            sweep = _with_recorded_paths(recorded, sweep)
            before, now = _immutable_settings(recorded), _immutable_settings(sweep)
            differing = [key for key in before | now if before.get(key) != now.get(key)]
            if changed := first_differences(differing, before, now):
                raise ConfigError(
                    [ConfigProblem(path, self._changed_setting_message(*values)) for path, values in changed.items()]
                )
        url = sweep.settings.storage or ""
        may_hold_password = "@" in url or "?" in url
        self.write(SWEEP_FILE, with_checksum_header(sweep.to_yaml()), is_private=may_hold_password)
        return sweep

    def _read_recorded_sweep(self) -> Sweep | None:
        """Return the sweep in the folder; None if it is lost, or if none of its trials has started."""
        if not any((self.path / name).exists() for name in ("study.db", "trials")):
            return None
        try:
            return None if has_wrong_checksum(read_file(self.file)) else read_sweep(self.file)
        except (ConfigError, OSError):
            return None

    def check_file(self) -> None:
        """Refuse a sweep's file that has changed since it was written.

        Raises:
            SweepError: its checksum differs.
        """
        try:
            is_damaged = has_wrong_checksum(read_file(self.file))
        except OSError:
            return  # reported when it is read as a sweep
        if is_damaged:
            file = self.typed_path / SWEEP_FILE
            command = f"mxtrain sweep {quote(str(file))} --run-dir {quote(str(self.typed_path))}"
            raise SweepError(
                f"{file} has changed since it was written: its checksum differs; restore it, "
                f"or, if the change is on purpose, run `{command}`"
            )

    def run_dirs(self, number: int, seeds: int) -> list[Path]:
        """Return the folder of each of a trial's runs."""
        trial = self.path / "trials" / f"{number:04}"
        folders = [trial] if seeds == 1 else [trial / f"seed-{i}" for i in range(seeds)]
        try:
            for folder in (trial.parent, trial, *folders):
                refuse_link(folder)
        except OSError as error:
            raise SweepError(
                f"trial {number} in {self.typed_path} cannot be trained: {describe_os_error(error)}"
            ) from error
        return folders

    def archived_run_dirs(self, number: int, seeds: int) -> Iterator[list[Path]]:
        """Yield the folders of the runs of a trial's earlier attempts, the first attempt first."""
        trial = self.path / "trials" / f"{number:04}"
        for attempt in count(1):
            archive = trial.with_name(f"{trial.name}-failed-{attempt}")
            if not archive.is_dir():
                return
            yield [archive] if seeds == 1 else [archive / f"seed-{i}" for i in range(seeds)]

    def checksums(self, result: TrialResult) -> dict[str, dict[str, Any]]:
        """Return the checksums of the files that a trial's values come from, by their paths in the sweep's folder."""
        first = result.run_dir
        runs = sorted(first.parent.glob("seed-*")) if first.name == "seed-0" else [first]
        found: dict[str, dict[str, Any]] = {}
        for run_dir in runs:
            if run_dir.is_relative_to(self.path):
                place = run_dir.relative_to(self.path).as_posix()
                found |= {f"{place}/{name}": value for name, value in run_checksums(run_dir, result.epochs).items()}
        return found

    def check(self, result: TrialResult, configs: Sequence[Callable[[], RunConfig]]) -> None:
        """Check that the folders of a recorded trial, if they exist, have not changed.

        Args:
            result: the trial.
            configs: for each of its runs, a function that returns the run's config.

        Raises:
            SweepError: a file differs; the message names it.
        """
        for run_dir, config in zip(self.run_dirs(result.number, len(configs)), configs, strict=True):
            place = run_dir.relative_to(self.path).as_posix()
            recorded = {
                name: result.files[key] for name in (CONFIG, METRICS) if (key := f"{place}/{name}") in result.files
            }
            changed = changed_files(run_dir, recorded)
            try:
                if CONFIG in changed or (CONFIG not in recorded and (run_dir / CONFIG).exists()):
                    check_same_run(config(), run_dir)  # settings that do not affect completed epochs may have changed
                if METRICS in changed:
                    raise RunMismatchError(f"{run_dir / METRICS} is damaged: its SHA-256 is not that in the study")
            except (RunMismatchError, ConfigError) as error:
                raise self.foreign_run_error(str(error), run_dir) from error

    def foreign_run_error(self, message: str, run_dir: Path) -> SweepError:
        """Return the error for a run's folder that holds another run or damaged files."""
        remedy = f"restore it, or move {run_dir} away, and continue with `{resume_command(self.typed_path)}`"
        return SweepError(f"{message}; {remedy}")

    def archive_failed_trial(self, number: int) -> None:
        """Rename the folder of a failed trial, so that the trial can be retried; no file is deleted."""
        trial = self.path / "trials" / f"{number:04}"
        if not trial.exists():
            return
        attempt = 1
        while (archive := trial.with_name(f"{trial.name}-failed-{attempt}")).exists():
            attempt += 1
        trial.rename(archive)

    def write_results(self, result: SweepResult) -> None:
        """Write results.json."""
        record = result.to_dict()
        self.write(
            "results.json", json.dumps(record | {CHECKSUM_KEY: digest(record)}, ensure_ascii=False, indent=1) + "\n"
        )

    def read_results(self) -> SweepResult:
        """Read results.json.

        Raises:
            SweepError: it does not exist, or is damaged.
        """
        file = self.path / "results.json"
        remedy = f"`{resume_command(self.typed_path)}` writes it again"
        try:
            record = parse_json(read_file(file))
            if has_wrong_digest(record):
                raise SweepError(f"{file} is damaged: its checksum differs; {remedy}")
            return SweepResult.from_dict(record).moved_to(self.path)
        except FileNotFoundError:
            raise SweepRequestError(
                f"there is no sweep in {self.typed_path} yet; start it with `mxtrain sweep`"
            ) from None
        except OSError as error:
            raise SweepError(f"{file} cannot be read: {error.strerror or error}") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SweepError(f"{file} is damaged: {error}; {remedy}") from error

    def write_best(self, config: RunConfig, title: str) -> None:
        """Write best.yaml, the config of the best trial's run."""
        self.write("best.yaml", f"# {title}\n{to_yaml(config)}")

    def write(self, name: str, text: str, is_private: bool = False) -> None:
        """Write a file atomically; only its owner can read a private one.

        Raises:
            SweepError: the file cannot be written.
        """
        try:
            write_file(self.path / name, text.encode(), is_private)
        except OSError as error:
            raise SweepError(
                f"{self.typed_path / name} cannot be written: {describe_os_error(error)}; finished trials are kept: "
                f"free some space, and continue with `{resume_command(self.typed_path)}`"
            ) from error

    def _folder_error(self, outcome: str, reason: str | None, error: OSError) -> SweepError:
        kind = SweepRequestError if is_wrong_path(error) else SweepError
        return kind(f"the sweep's folder {self.typed_path} cannot be {outcome}: {reason}")

    def _changed_setting_message(self, before: str, now: str) -> str:
        return (
            f"was {before} when the sweep in {self.typed_path} was started, and cannot become {now}: "
            "start a new sweep with `mxtrain sweep FILE --run-dir FOLDER`"
        )


def study_identity(sweep: Sweep) -> str:
    """Return the SHA-256 of all settings that the trials of a sweep depend on."""
    return sha256(json.dumps(_immutable_settings(sweep), sort_keys=True).encode()).hexdigest()


def _with_recorded_paths(recorded: Sweep, sweep: Sweep) -> Sweep:
    """Return a sweep in which paths of data that are the same as those of `recorded` are spelled as there."""
    before, now = recorded.run.get("data"), sweep.run.get("data")
    if not isinstance(before, dict) or not isinstance(now, dict):
        return sweep
    pairs = {name: (before[name], now[name]) for name in DATA_PATHS if name in before and name in now}
    spelled = {
        name: old
        for name, (old, new) in pairs.items()
        if isinstance(old, str) and isinstance(new, str) and normalize_path(old) == normalize_path(new)
    }
    return replace(sweep, run={**sweep.run, "data": now | spelled})


def _immutable_settings(sweep: Sweep) -> dict[str, Any]:
    values = {path: value for path, value in flatten(sweep.to_dict()).items() if path not in MUTABLE_SETTINGS}
    if sweep.settings.stratify is None:
        del values["sweep.stratify"]  # the studies of earlier versions have no such setting
    return values
