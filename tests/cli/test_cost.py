"""What is not used is not imported, so the command line answers at once."""

import subprocess
import sys

import pytest

# Not all of these are installed here; where they are, as CuPy is beside a GPU, they are not imported either.
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


def test_checking_a_file_loads_neither_the_compiler_nor_cupy():
    statement = "from mxtrain.cli.main import main\nassert main(['validate', 'run.yaml']) == 0"
    assert loaded_after(statement).isdisjoint({"numba", "cupy", "matplotlib", "plotext", "rich"})
