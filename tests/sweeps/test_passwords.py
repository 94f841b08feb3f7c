"""The password of a sweep's database is never shown, and stored only in files that only the owner can read."""

import json
import os
import stat
from pathlib import Path

import pytest

from mxtrain.cli.main import main
from mxtrain.config import sweep_from_dict
from mxtrain.config.search.sweep_section import SweepConfig
from mxtrain.formatting import redact, redact_message, strip_password
from mxtrain.sweeps import SweepFolder
from tests.sweeps.conftest import small

SECRET, ENCODED = "s3cr*t", "s3cr%2At"
WITH_PASSWORD = [
    f"postgresql://me:{SECRET}@127.0.0.1:9/db",
    f"postgresql://me:{ENCODED}@127.0.0.1:9/db",
    f"postgresql://127.0.0.1:9/db?user=me&password={SECRET}",
    f"postgresql://me@127.0.0.1:9/db?sslmode=disable&PASSWORD={SECRET}",
    f"postgresql://127.0.0.1:9/db?user=me&p%61ssword={ENCODED}",
    f"postgresql://:{SECRET}@127.0.0.1:9/db",
]
MALFORMED = [
    f"postgresql://me:{SECRET}@host:port/db",
    f"postgresql://me:{SECRET}@host:99999/db",
    f"postgresql://me:{SECRET}@@host/db",
    f"postgresql://me:{SECRET}@more@host/db",
    f"postgresql://me:more@{SECRET}@host/db",
    f"postgresql://me:12/{SECRET}@host/db",
    f"postgresql://me:12?{SECRET}@host/db",
    f"postgresql://me:12#{SECRET}@host/db",
    f"postgresql://me:{SECRET}@/db",
    f"postgresql://me:{SECRET}",
    f"postgresql://me:{SECRET}@[::1/db",
    f"postgresql:me:{SECRET}@host/db",
    f"postgresql//me:{SECRET}@host/db",
    f"postgres://me:{SECRET}@host/db",
    f"redis://me:{SECRET}@host/db",
    f"me:{SECRET}@host/db",
    f"postgresql://me:{SECRET} @host/db",
    f"host=host user=me password={SECRET}",
]


def is_secret(text: str) -> bool:
    return SECRET in text or ENCODED in text


def yaml(storage: str, key: str = "storage") -> str:
    config = small(trials=1)
    config["sweep"][key] = storage
    sweep = "\n".join(f"  {name}: {json.dumps(value)}" for name, value in config.pop("sweep").items())
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in config.items()) + f"\nsweep:\n{sweep}\n"


@pytest.fixture
def run_command(tmp_path, monkeypatch, capsys):
    """Run commands; afterwards, check that no file that other users can read contains the password."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        status = main(arguments)
        return status, "".join(capsys.readouterr())

    yield run
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".yml"]
    for path in files if os.name != "nt" else ():
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            assert not is_secret(path.read_text(errors="replace")), path


@pytest.mark.parametrize("address", WITH_PASSWORD)
def test_a_password_is_not_shown(address, run_command):
    Path("a.yml").write_text(yaml(address))
    SweepFolder(Path("s")).make()
    SweepFolder(Path("s")).claim(sweep_from_dict(small(storage=address)))
    for arguments in (
        *([("sweep", "a.yml", "--run-dir", "t")] if address in WITH_PASSWORD[:4:2] else []),  # no server uses this port
        ("sweep", "a.yml", "--run-dir", "s", "--dry-run"),
        ("sweep", "a.yml", "--run-dir", "s", "--dry-run", "--json"),
        ("sweep", "a.yml", "--run-dir", "s", "--status"),
        ("resume", "s", "--set", "sweep.sed=3"),
        ("show", "a.yml"),
        ("show", "a.yml", "--set", f"sweep.storage={address}"),
        ("fit", "a.yml", "--set", f"sweep.storge={address}"),
    ):
        status, text = run_command(*arguments)
        assert not is_secret(text), arguments
        assert "Traceback" not in text
    assert is_secret(Path("s/sweep.yaml").read_text()), "the sweep can be resumed without the password"
    assert stat.S_IMODE(Path("s/sweep.yaml").stat().st_mode) == 0o600 or os.name == "nt"
    assert not is_secret(repr(sweep_from_dict(small(storage=address))))


@pytest.mark.parametrize("address", MALFORMED)
def test_a_malformed_address_is_refused_and_not_shown(address, run_command):
    for number, text in enumerate((yaml(address), yaml(address, "storge"), yaml(address).replace("sweep:", "swep:"))):
        Path("a.yml").write_text(text)
        status, text = run_command("sweep", "a.yml", "--run-dir", "s")
        assert status == 2
        assert not is_secret(text), number
    Path("a.yml").write_text(yaml(address).replace(json.dumps(address), f"\n    '{address}"))  # no closing quote
    assert not is_secret(run_command("sweep", "a.yml", "--run-dir", "s")[1])
    Path("a.yml").write_text(yaml("sqlite:///a.db"))
    overrides = (
        f"sweep.storage={address}",
        f"storage={address}",
        f"sweep={{storage: '{address}'}}",
        f"sweep.storage.url={address}",
    )
    for override in overrides[:: 3 if "more" in address else 1]:
        status, text = run_command("sweep", "a.yml", "--set", override, "--run-dir", "s")
        assert status == 2
        assert not is_secret(text), override
    with pytest.raises(ValueError, match="storage") as error:
        SweepConfig(objective={"minimize": "val_loss"}, storage=address)
    assert not is_secret(str(error.value))


def test_only_the_password_is_removed_from_an_address():
    assert strip_password("postgresql://me@h:5/d?sslmode=require") == "postgresql://me@h:5/d?sslmode=require"
    assert strip_password("postgresql:///d?passfile=%2Fa&password=x") == "postgresql:///d?passfile=%2Fa"
    assert strip_password("sqlite:////a/b?c@d.db") == "sqlite:////a/b?c@d.db"


def test_passwords_in_messages_of_database_drivers_are_hidden():
    assert redact_message(f"bad: {SECRET}, {ENCODED}", WITH_PASSWORD[1]) == "bad: ***, ***"
    assert redact("http://localhost:5000/a me@b") == "http://localhost:5000/a me@b"


def test_a_file_that_others_can_read_becomes_private(tmp_path):
    folder = SweepFolder(tmp_path)
    (tmp_path / "sweep.yaml").touch(0o644)
    folder.claim(sweep_from_dict(small(storage=WITH_PASSWORD[2])))
    assert (tmp_path / "sweep.yaml").stat().st_mode & 0o077 == 0
