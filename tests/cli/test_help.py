"""The command line explains itself."""

import pytest

import mxtrain as package

COMMANDS = ["fit", "validate", "show", "list", "schedule", "schema"]


def test_help_names_every_command_and_the_exit_statuses(mxtrain):
    status, out, err = mxtrain("--help")
    assert (status, err) == (0, "")
    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert "130" in out
    assert "--install-completion" in out
    assert "...\n" not in out.partition("Commands:")[2], "what a command does is told to its end"


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
def test_wrong_usage_is_told_on_stderr_with_status_2(mxtrain, arguments):
    status, out, err = mxtrain(*arguments)
    assert (status, out) == (2, "")
    assert "Usage: mxtrain" in err
    assert "Traceback" not in err


def test_no_command_prints_the_help_with_its_line_breaks(mxtrain):
    status, out, err = mxtrain()
    assert (status, out) == (2, "")
    assert err.rstrip() == mxtrain("--help").out.rstrip()
