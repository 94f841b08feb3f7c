"""A run that is trained in segments equals an uninterrupted run."""

import pytest

import mxtrain
from mxtrain.config import run_from_dict
from mxtrain.training import train_until

SECTIONS = {
    "data": {"source": "digits"}, "model": {"kind": "mlp", "hidden": [8]}, "loss": "softmax_cross_entropy", "threads": 1,
    "optimizer": {"kind": "adam", "η": 0.01, "η_sched": {"kind": "exp"}},
}  # fmt: skip
FIT = {"epochs": 6, "metrics": ["accuracy"]}


def files(folder):
    names = ("config.yaml", "metrics.jsonl", "model.safetensors", "preprocessing.json")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("stops", [(1, 3, 6), (6,), (2, 2, 5, 100), (1, 2, 3, 4, 5, 6)])
def test_segments_give_the_bytes_of_an_uninterrupted_run(stops, tmp_path):
    config = run_from_dict({**SECTIONS, "fit": FIT}).resolve()
    whole = mxtrain.fit(config, run_dir=tmp_path / "whole")
    for epochs in stops:
        progress = train_until(config, tmp_path / "parts", epochs)
        assert len(progress.rows) == min(epochs, 6)
        assert progress.is_finished == (epochs >= 6)
        assert progress.rows == whole.history[: len(progress.rows)]
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_segment_ended_by_early_stopping_is_finished(tmp_path):
    stopping = {"monitor": "val_loss", "patience": 1, "min_delta": 10.0}
    config = run_from_dict({**SECTIONS, "fit": FIT | {"early_stopping": stopping}}).resolve()
    progress = train_until(config, tmp_path, 5)
    assert (len(progress.rows), progress.is_finished) == (2, True)
    assert train_until(config, tmp_path, 6) == progress


def test_a_segment_that_is_already_trained_trains_nothing(tmp_path):
    config = run_from_dict({**SECTIONS, "fit": FIT}).resolve()
    far = train_until(config, tmp_path, 4)
    assert train_until(config, tmp_path, 2) == far
    assert not far.is_finished
    assert far.parameters == 64 * 8 + 8 + 8 * 10 + 10


def test_a_partly_created_folder_is_resumed(tmp_path):
    config = run_from_dict({**SECTIONS, "fit": FIT}).resolve()
    (tmp_path / ".config.yaml.tmp").write_bytes(b"name: ru")
    (tmp_path / "metrics.jsonl").write_bytes(b'{"epoch": 1')
    assert train_until(config, tmp_path, 6).is_finished
    assert not (tmp_path / ".config.yaml.tmp").exists()


def test_a_run_that_lacks_only_its_model_file_is_finished(tmp_path):
    config = run_from_dict({**SECTIONS, "fit": FIT}).resolve()
    train_until(config, tmp_path, 6)
    before = files(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "status.json").unlink()
    train_until(config, tmp_path, 6)
    assert files(tmp_path) == before
    assert mxtrain.load_run(tmp_path).status.state == "finished"
