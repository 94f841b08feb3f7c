"""Workers import nothing from the current folder, and a Dask cluster on this machine accepts no other connections."""

import socket
import ssl
import sys
from pathlib import Path

import psutil
import pytest

import mxtrain
from mxtrain.processes import child_path, import_user_module
from tests.sweeps.conftest import small, table

PACKAGES = ("numpy", "numba", "optuna", "sqlalchemy", "pydantic", "mxtrain", "distributed", "tornado", "yaml", "polars")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A current folder with a module for every name that Python or mxtrain may import."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in {*sys.stdlib_module_names, *PACKAGES, "sitecustomize", "usercustomize"}:
        code = f"import builtins\nbuiltins.open({str(tmp_path / 'executed')!r}, 'w').close()\nraise ImportError\n"
        (folder / f"{name}.py").write_text(code)
    monkeypatch.chdir(folder)
    yield folder
    assert not (tmp_path / "executed").exists()


def test_workers_import_nothing_from_the_current_folder(hostile):
    assert mxtrain.sweep(small(trials=1), workers=1).best["number"] == 0


def test_a_plugin_imports_modules_of_its_folder_which_hides_no_other_module(hostile, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    lines = "import neighbour\nmodel = neighbour.model\n"
    Path("plugged.py").write_text(lines)
    Path("neighbour.py").write_text(
        "from mxtrain.config import LinearConfig\nfrom mxtrain.training.model_factory import build_model\n"
        "def model(config, n_features, n_outputs, xp):\n"
        "    import later\n"
        "    return build_model(LinearConfig(), config.loss, n_features, n_outputs, xp)\n"
    )
    Path("later.py").touch()
    config = small(model={"kind": "custom"}, search={"optimizer.η": {"choice": [0.01]}}, sampler={"kind": "grid"})
    assert not mxtrain.sweep(config, workers=1, model="plugged:model").in_state("failed")
    assert sys.path[-1] == str(hostile)
    for name in ("plugged", "neighbour"):
        sys.modules.pop(name)


def test_a_table_is_read_by_a_process_that_imports_nothing_from_the_current_folder(hostile, monkeypatch):
    polars = pytest.importorskip("polars")
    from mxtrain.data.readers.frame_files import read_frame

    polars.DataFrame({"x": [1.0]}).write_parquet("table.parquet")
    monkeypatch.syspath_prepend(hostile)  # like the folder of a plugin
    with Path("table.parquet").open("rb") as file:
        assert len(read_frame(file, "table.parquet", "Parquet")) == 1


def test_the_current_folder_is_on_the_path_of_children_only_if_pythonpath_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", str(tmp_path), *sys.path])
    package = str(Path(mxtrain.__file__).parents[1])
    for named, is_there in ((None, False), ("", False), (f":{package}", False), (str(tmp_path), True), (".", True)):
        monkeypatch.delenv("PYTHONPATH", raising=False) if named is None else monkeypatch.setenv("PYTHONPATH", named)
        paths = child_path()["PYTHONPATH"].split(":")
        assert (str(tmp_path) in paths) == is_there
        assert package in paths


def test_mxtrain_in_the_current_folder_is_found_by_children(monkeypatch):
    package = str(Path(mxtrain.__file__).parents[1])
    monkeypatch.chdir(package)
    monkeypatch.setattr(sys, "path", ["", *(path for path in sys.path if path != package)])
    assert child_path()["PYTHONPATH"].split(":")[-1] == package


def test_a_plugin_is_taken_from_the_current_folder_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path / "other"), *sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    for folder in ("here", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"place = {folder!r}")
    monkeypatch.chdir(tmp_path / "here")
    assert import_user_module("mine").place == "here"
    sys.modules.pop("mine")


def test_a_dask_cluster_is_private(hostile):
    """All ports are local, refuse connections without the cluster's certificate, and serve no HTTP."""
    found = []

    def watch(result):
        if result.in_state("complete") and not found:
            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            found.extend(it.laddr for each in processes for it in each.net_connections("tcp") if it.status == "LISTEN")
            for ip, port in found:
                assert ip == "127.0.0.1"
                assert port != 8787
                _check_refused(port)

    here = mxtrain.sweep(small(trials=2), run_dir="here", workers=1)
    there = mxtrain.sweep(small(trials=2), run_dir="there", workers=1, engine="dask", watch=watch)
    assert table(there) == table(here)
    assert len(found) >= 3


def _check_refused(port: int) -> None:
    """Check that Dask does not answer a plain connection, nor an encrypted one without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.sendall(b"GET /info/main/workers.html HTTP/1.0\r\n\r\n")
        assert _received(plain) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        try:
            with context.wrap_socket(plain) as encrypted:
                assert _received(encrypted) == b""
        except ssl.SSLError as error:
            assert "CERTIFICATE_REQUIRED" in str(error)  # noqa: PT017


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100)
    except ConnectionError:
        return b""
