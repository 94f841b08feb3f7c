"""Shell completion: the scripts, and the completions of commands, options, run files and folders."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(started, shell):
    status, out, err = started("--show-completion", shell)
    assert (status, err) == (0, "")
    assert "_MXTRAIN_COMPLETE" in out
    assert shell in out or "#compdef" in out or "complete -o" in out


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
