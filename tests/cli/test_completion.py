"""Shell completion: the scripts, and the completions of commands, options, run files and folders."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import environment


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(started, shell):
    status, out, err = started("--show-completion", shell)
    assert (status, err) == (0, "")
    assert "_MXTRAIN_COMPLETE" in out
    assert shell in out or "#compdef" in out or "complete -o" in out


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
    ("line", "offered"),
    [
        ("mxtrain ev", {"evaluate"}),
        ("mxtrain fit --pl", {"--plugin"}),
        ("mxtrain fit r", {"run.yaml", "runs/"}),
        ("mxtrain evaluate r", {"runs/"}),
        ("mxtrain evaluate runs/ ru", {"run.yaml", "runs/"}),
        ("mxtrain resume runs/", {"runs/a/"}),
    ],
)
def test_what_bash_is_offered(started, folder, line, offered):
    Path("runs/a").mkdir(parents=True)
    words = line.split(" ")
    settings = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_MXTRAIN_COMPLETE": "complete_bash"}
    assert set(started(**settings).out.split()) == offered


def test_what_is_offered_is_below_the_home_folder_too(folder, monkeypatch):
    from mxtrain.cli.completion import complete_config, complete_folder

    monkeypatch.setenv("HOME", str(folder))
    assert complete_config("~/") == ["~/run.yaml"]
    assert complete_folder("nowhere/") == []
    (folder / ".hidden").mkdir()
    assert complete_folder("") == []
    assert complete_folder(".h") == [".hidden/"]
