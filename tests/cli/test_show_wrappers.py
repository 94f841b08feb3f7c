"""`mxtrain show` prints the order of an update with wrappers, and the bytes that each moves."""

from pathlib import Path

from typer.testing import CliRunner

from mxtrain.cli.main import app

RUN = """
data: {source: digits}
model: {kind: mlp}
loss: softmax_cross_entropy
optimizer: {kind: adamw, cautious: true, ema: {}, lookahead: {period: 4}, accumulate: 2, clip_norm: 1}
"""


def test_a_file_ends_with_the_order_of_the_update_as_comments(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(RUN, encoding="utf-8")
    output = CliRunner().invoke(app, ["show", str(path)]).output
    comments = [line.removeprefix("#").split()[:1] for line in output.splitlines() if line.startswith("#   ")]
    names = [first for each in comments for first in each]
    assert names[:-1] == ["accumulate", "scale", "clip_norm", "adamw", "cautious", "λ", "lookahead", "ema"]
    assert "# pass 1 of 2: reads g, m, v, accumulated; writes nothing; 16 bytes per element in float32" in output
    path.write_text(output, encoding="utf-8")
    assert CliRunner().invoke(app, ["show", str(path)]).output == output


def test_a_rule_prints_the_program_of_each_kind_of_call() -> None:
    output = CliRunner().invoke(app, ["show", "lion", "--set", "accumulate=3", "--set", "lookahead.period=2"]).output
    assert "first gradient of a mean: reads g; writes accumulated; 8 bytes per element in float32" in output
    assert "lookahead: reads W, g, m, accumulated, lookahead; writes W, m, lookahead; 32 bytes" in output


GROUPS = """
data: {source: diabetes}
model: {kind: mlp}
loss: squared_error
optimizer:
  kind: adamw
  groups:
    W1: {kind: muon}
    W2: {kind: lion, ema: {decay: 0.9}}
    ndim < 2: {λ: 0}
"""


def test_a_file_with_groups_of_other_kinds_describes_each_with_its_own_rule(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(GROUPS, encoding="utf-8")
    output = CliRunner().invoke(app, ["show", str(path)]).output
    assert [line for line in output.splitlines() if line.startswith("#")] == [
        "# the optimizer: adamw",
        "# an update moves 28 bytes per element in float32, 56 in float64",
        "# pass 1 of 1: reads W, g, m, v; writes W, m, v; 28 bytes per element in float32, 56 in float64",
        "# group W1: muon",
        "# an update moves 20 bytes per element in float32, 40 in float64",
        "# vectors of group W1: as the optimizer",
        "# group W2: lion",
        "# Order of a step; bytes per element in float32:",
        "#   scale  g ← 0.03125·g",
        "#   lion   Δ: 20 bytes",
        "#   ema    e ← 0.9·e + (1-0.9)·W: 8 bytes",
        "#   an update moves 28 bytes per element in float32, 56 in float64",
        "# pass 1 of 1: reads W, g, m, ema; writes W, m, ema; 28 bytes per element in float32, 56 in float64",
        "# group ndim < 2: as the optimizer",
    ]
    path.write_text(output, encoding="utf-8")
    assert CliRunner().invoke(app, ["show", str(path)]).output == output


def test_the_program_of_each_group_is_printed_for_a_backend(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(GROUPS, encoding="utf-8")
    headings = ["group W1: muon", "vectors of group W1: as the optimizer", "group W2: lion"]
    for backend, mark in (("numpy", "#"), ("compiled", "#"), ("cupy", "//")):
        lines = CliRunner().invoke(app, ["show", str(path), "--backend", backend]).output.splitlines()
        expected = [f"{mark} {heading}" for heading in [*headings, "group ndim < 2: as the optimizer"]]
        assert [line for line in lines if line.startswith((f"{mark} group", f"{mark} vectors"))] == expected
        optimizer = CliRunner().invoke(app, ["show", "adamw", "--backend", backend, "--set", "scale=0.03125"]).output
        assert optimizer.splitlines() == lines[: lines.index(expected[0]) - 1]
