"""Arrays on disk: the same samples as in memory, little memory, and an order that is a pure function."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxtrain.config import run_from_dict
from mxtrain.config.run_section import RunConfig
from mxtrain.data import Batches, Dataset, DiskSamples, batches, fingerprint, in_order, load_for_prediction, prepare
from mxtrain.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use blocks of two samples and windows of three blocks."""
    monkeypatch.setattr(batches, "BLOCK_BYTES", 24)
    monkeypatch.setattr(batches, "WINDOW_BYTES", 72)


def samples(count: int, dtype: str = "float32") -> tuple[Any, Any]:
    inputs = np.random.default_rng(0).integers(0, 99, (count, 3)).astype(dtype)
    inputs[:, 0] = np.arange(count)
    return inputs, np.arange(count) % 3


def shards(*sizes: int, folder: str = "shards", dtype: str = "float32") -> None:
    Path(folder).mkdir(exist_ok=True)
    inputs, targets = samples(sum(sizes), dtype)
    start = 0
    for number, size in enumerate(sizes):
        np.save(f"{folder}/inputs-{number:03d}.npy", inputs[start : start + size])
        np.save(f"{folder}/targets-{number:03d}.npy", targets[start : start + size])
        start += size


def run(loss: str = "softmax_cross_entropy", **data: Any) -> RunConfig:
    sections = {"loss": loss, "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
    return run_from_dict(
        {"data": {"source": "shards/", "batch_size": 4, "standardize_target": False, **data}, **sections}
    )


def collected(part: Any) -> tuple[list[Any], list[Any]]:
    batches = [(inputs.copy(), targets.copy()) for inputs, targets in in_order(part, 5)]
    return np.concatenate([b[0] for b in batches]).tolist(), np.concatenate([b[1] for b in batches]).tolist()


def batch_rows(dataset: Dataset, config: RunConfig, epoch: int = 1, start: int = 0) -> list[list[float]]:
    batches = Batches(dataset.training, config.data, config.seed)
    return [inputs[:, 0].tolist() for inputs, _ in batches.epoch(epoch, start)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", ">f4"])
@pytest.mark.parametrize("standardize", ["features", "whole", "none"])
def test_the_sets_equal_those_of_the_same_arrays_in_memory(dtype: str, standardize: str) -> None:
    shards(10, 1, 19, dtype=dtype)
    inputs, targets = samples(30, dtype)
    np.savez("all.npz", inputs=inputs, targets=targets)
    shares = {"validation": 0.2, "test": 0.1, "standardize": standardize}
    disk, memory = prepare(run(**shares)), prepare(run(source="all.npz", target="targets", **shares))
    assert isinstance(disk.training, DiskSamples)
    for name in ("training", "validation", "test"):
        expected = getattr(memory, name)
        found_inputs, found_targets = collected(getattr(disk, name))
        assert np.allclose(found_inputs, expected.inputs, atol=1e-5)
        assert found_targets == expected.targets.tolist()
    assert disk.class_names == memory.class_names
    assert disk.preprocessing.target_dtype == "int64"


@pytest.mark.usefixtures("_small_windows")
def test_each_epoch_has_every_sample_once_with_its_target_in_a_different_order() -> None:
    shards(7, 0, 12, 4)
    config = run(standardize="none", validation=0)
    dataset = prepare(config)
    orders = [sum(batch_rows(dataset, config, epoch), []) for epoch in (1, 2, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(23))
    assert orders[0] == orders[2] != orders[1]
    for inputs, targets in Batches(dataset.training, config.data, 0).epoch(3):
        assert (inputs[:, 0] % 3 == targets).all()
        assert inputs.dtype == np.float32


@pytest.mark.usefixtures("_small_windows")
def test_the_order_is_frozen() -> None:
    shards(14)
    config = run(standardize="none", validation=0)
    assert sum(batch_rows(prepare(config), config), []) == [13, 8, 10, 9, 11, 12, 4, 0, 5, 2, 3, 1, 6, 7]


@pytest.mark.usefixtures("_small_windows")
def test_the_order_depends_on_the_samples_and_not_on_their_files() -> None:
    shards(23)
    config = run(standardize="none", validation=0.2)
    one = batch_rows(prepare(config), config)
    shutil.rmtree("shards")
    shards(5, 17, 1)
    assert batch_rows(prepare(config), config) == one


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_can_begin_at_any_batch(shuffle: bool) -> None:
    shards(20, 9)
    config = run(validation=0.1, shuffle=shuffle)
    dataset = prepare(config)
    whole = batch_rows(dataset, config)
    assert all(batch_rows(dataset, config, start=start) == whole[start:] for start in range(len(whole) + 1))


def test_one_array_and_its_targets() -> None:
    inputs, targets = samples(12)
    np.save("x.npy", inputs)
    np.save("y.npy", targets / 2)
    config = run("squared_error", source="x.npy", target="y.npy", validation=0, standardize="none")
    found_inputs, found_targets = collected(prepare(config).training)
    assert (found_inputs, found_targets) == (inputs.tolist(), (targets / 2).tolist())


def test_a_separate_folder_for_validation() -> None:
    shards(20)
    shards(6, folder="more")
    dataset = prepare(run(validation="more/"))
    assert (len(dataset.training), len(dataset.validation)) == (20, 6)


def test_new_arrays_are_preprocessed_like_training_arrays() -> None:
    shards(20)
    dataset = prepare(run(validation=0))
    inputs, targets = load_for_prediction("shards/", dataset.preprocessing, with_targets=True)
    assert (inputs.tolist(), targets.tolist() if targets is not None else None) == collected(dataset.training)
    np.save("new.npy", samples(5)[0])
    inputs, targets = load_for_prediction("new.npy", dataset.preprocessing)
    assert (inputs.shape, targets) == ((5, 3), None)


def test_the_fingerprint_covers_every_shard() -> None:
    shards(8, 8)
    before = fingerprint(run().data)
    Path("shards/notes.txt").write_text("not read")
    assert fingerprint(run().data) == before
    content = bytearray(Path("shards/inputs-001.npy").read_bytes())
    content[-1] ^= 1
    Path("shards/inputs-001.npy").write_bytes(content)
    assert fingerprint(run().data) != before


def _save(name: str, array: Any) -> None:
    np.save(f"shards/{name}.npy", array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: _save("inputs-001", [[1.0, np.nan, 2.0]]), "{here}/inputs-001.npy: [0, 1]: must be a finite number, got nan"),
        (lambda: _save("inputs-001", [[1.0, 2.0]]), "{here}/inputs-001.npy: holds rows of the shape (2,) and the dtype float64, must be (3,) and float32 as in {here}/inputs-000.npy"),
        (lambda: _save("targets-001", [1, 2]), "{here}/targets-001.npy: must hold 1 values, one for each sample, got 2"),
        (lambda: _save("targets-001", [1.5]), "{here}/targets-*.npy: a class must be a whole number or text, got 1.5; to predict numbers, set loss: squared_error"),
        (lambda: _save("inputs-002", [[1.0, 2.0, 3.0]]), "{here}/: has inputs-002.npy but no targets-002.npy"),
        (lambda: _save("targets-002", [1]), "{here}/: has targets-002.npy but no inputs-002.npy"),
        (lambda: _save("inputs-001", [["a"]]), "{here}/inputs-001.npy: must hold numbers, got the dtype <U1"),
        (lambda: _save("inputs-001", np.array([[{}]], dtype=object)), "{here}/inputs-001.npy: must hold numbers, got the dtype object"),
        (lambda: _save("inputs-000", np.asfortranarray(samples(9)[0])), "{here}/inputs-000.npy: is in Fortran order, so its rows are not contiguous; save np.ascontiguousarray(...) instead"),
        (lambda: Path("shards/inputs-001.npy").write_bytes(b"PK"), "{here}/inputs-001.npy: is not an .npy file, or a damaged one; np.save writes them"),
        (lambda: Path("shards/inputs-000.npy").write_bytes(Path("shards/inputs-000.npy").read_bytes()[:-1]), "{here}/inputs-000.npy: is truncated: it must hold the shape (9, 3) of float32"),
        (lambda: [path.unlink() for path in Path("shards").iterdir()], "{here}/: holds no inputs-*.npy; they and their targets are named inputs-000.npy, targets-000.npy"),
        (lambda: [path.unlink() for path in Path("shards").glob("t*")], "{here}/: holds no targets-*.npy to train on"),
    ],
)  # fmt: skip
def test_errors_name_their_location(change: Any, message: str, tmp_path: Path) -> None:
    shards(9, 1)
    if "dtype float64" not in message and "nan" in message:
        _save("inputs-000", samples(9)[0].astype(float))
    change()
    with pytest.raises(DataError) as caught:
        prepare(run())
    assert str(caught.value) == message.replace("{here}", str(tmp_path / "shards"))


def test_a_file_that_shrinks_during_a_run_is_an_error(tmp_path: Path) -> None:
    shards(9)
    dataset = prepare(run(validation=0))
    path = Path("shards/inputs-000.npy")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"inputs-000.npy: is shorter than when it was opened"):
        collected(dataset.training)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"data.source: no such folder: {tmp_path}/gone"):
        run(source="gone/")


def test_damaged_headers_are_refused() -> None:
    """Flip bits, truncate the file anywhere, and insert impossible shapes."""
    inputs, targets = samples(10)
    np.save("targets.npy", targets)
    np.save("inputs.npy", inputs)
    whole = Path("inputs.npy").read_bytes()
    damaged = [whole[:size] for size in range(len(whole))]
    damaged += [
        b"".join([whole[:i], bytes([whole[i] ^ 1 << bit]), whole[i + 1 :]]) for i in range(9) for bit in range(8)
    ]
    damaged += [whole.replace(b"(10, 3)", shape) for shape in (b"(-1, 3)", b"(10,-3)", b"(((((((")]
    for content in damaged:
        Path("inputs.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"inputs\.npy: (is not an \.npy file|is truncated|has extra bytes)"):
            prepare(run(source="inputs.npy", target="targets.npy"))
