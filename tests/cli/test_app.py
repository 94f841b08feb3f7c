"""Shell completion, help, usage errors, and modules that a command imports."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mxtrain as package
from tests.cli.conftest import environment


@pytest.mark.parametrize(
    ("shell", "start"),
    [("bash", "_mxtrain_completion() {"), ("zsh", "#compdef mxtrain"), ("fish", "complete --command mxtrain")],
)
def test_each_shell_has_a_completion_script(started, shell, start):
    status, out, err = started("--show-completion", shell)
    assert (status, err) == (0, "")
    assert "_MXTRAIN_COMPLETE" in out
    assert out.lstrip().startswith(start)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(("names", "options"), [("configs/", "-o nospace"), ("a/ b/", ""), ("run.yaml", "")])
def test_bash_appends_no_space_to_a_folder(started, folder, names, options):
    (folder / "script").write_text(started("--show-completion", "bash").out)
    # `compopt` works only while bash completes, and `mxtrain` need not be on PATH.
    code = 'compopt() { echo "$@"; }; env() { printf "%s\\n" $NAMES; }; . ./script; _mxtrain_completion mxtrain'
    bash = ["bash", "-c", f"{code}; echo ${{#COMPREPLY[@]}}"]
    settings = environment(NAMES=names.replace(" ", "\n"))
    done = subprocess.run(bash, env=settings, capture_output=True, text=True, check=True, timeout=30)
    assert (done.stdout.splitlines(), done.stderr) == ([*filter(None, [options]), str(len(names.split()))], "")


def test_install_writes_into_the_home_folder(started, folder):
    status, out, err = started("--install-completion", "bash", HOME=str(folder))
    assert (status, err) == (0, "")
    assert "bash completion installed" in out
    assert "mxtrain" in (folder / ".bashrc").read_text()


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("mxtrain ev", {"evaluate"}),
        ("mxtrain fit --pl", {"--plugin"}),
        ("mxtrain fit r", {"run.yaml", "runs/"}),
        ("mxtrain evaluate r", {"runs/"}),
        ("mxtrain show rm", {"rmsprop"}),
        ("mxtrain evaluate runs/ ru", {"run.yaml", "runs/"}),
        ("mxtrain resume runs/", {"runs/a/"}),
    ],
)
def test_completions_in_bash(started, folder, line, completions):
    Path("runs/a").mkdir(parents=True)
    words = line.split(" ")
    settings = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_MXTRAIN_COMPLETE": "complete_bash"}
    assert set(started(**settings).out.split()) == completions


def test_completions_in_the_home_folder_and_of_hidden_folders(folder, monkeypatch):
    from mxtrain.cli.options import complete_config, complete_folder

    monkeypatch.setenv("HOME", str(folder))
    assert complete_config("~/") == ["~/run.yaml"]
    assert complete_folder("nowhere/") == []
    (folder / ".hidden").mkdir()
    assert complete_folder("") == []
    assert complete_folder(".h") == [".hidden/"]


# Some of these may not be installed, such as CuPy; those that are must not be imported.
HEAVY = ("numpy", "numba", "cupy", "pydantic", "matplotlib", "plotext", "plotly", "optuna", "yaml", "dask")


def loaded_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(option):
    loaded = loaded_after(f"from mxtrain.cli.main import main\nmain([{option!r}])")
    assert loaded.isdisjoint(HEAVY)


def test_import_mxtrain_loads_neither_the_compiler_nor_cupy():
    assert loaded_after("import mxtrain").isdisjoint({"numba", "cupy", "numpy", "pydantic"})


def test_validate_loads_neither_the_compiler_nor_cupy():
    statement = "from mxtrain.cli.main import main\nassert main(['validate', 'run.yaml']) == 0"
    assert loaded_after(statement).isdisjoint({"numba", "cupy", "matplotlib", "plotext", "rich"})


COMMANDS = ["fit", "validate", "show", "list", "schedule", "schema"]


def test_help_lists_every_command_and_the_exit_statuses(mxtrain):
    status, out, err = mxtrain("--help")
    assert (status, err) == (0, "")
    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert "130" in out
    assert "--install-completion" in out
    assert "...\n" not in out.partition("Commands:")[2], "descriptions of commands are not cut"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(mxtrain, command):
    status, out, _ = mxtrain(command, "-h")
    assert status == 0
    assert f"mxtrain {command}" in out


def test_version(mxtrain):
    assert mxtrain("--version") == (0, f"mxtrain {package.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [("fit",), ("fit", "a.yaml", "b.yaml"), ("fit", "a.yaml", "--sett", "x"), ("nonsense",), ("list", "hats")],
)
def test_usage_errors_are_reported_on_stderr_with_status_2(mxtrain, arguments):
    status, out, err = mxtrain(*arguments)
    assert (status, out) == (2, "")
    assert "Usage: mxtrain" in err
    assert "Traceback" not in err


def test_no_command_prints_the_help_with_its_line_breaks(mxtrain):
    status, out, err = mxtrain()
    assert (status, out) == (2, "")
    assert err.rstrip() == mxtrain("--help").out.rstrip()
