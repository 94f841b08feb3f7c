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
    assert "# pass 1 of 2: reads g, m, v, accumulated; writes nothing; 16 bytes an element in float32" in output
    path.write_text(output, encoding="utf-8")
    assert CliRunner().invoke(app, ["show", str(path)]).output == output


def test_a_rule_prints_the_program_of_each_kind_of_call() -> None:
    output = CliRunner().invoke(app, ["show", "lion", "--set", "accumulate=3", "--set", "lookahead.period=2"]).output
    assert "first gradient of a mean: reads g; writes accumulated; 8 bytes an element in float32" in output
    assert "lookahead: reads W, g, m, accumulated, lookahead; writes W, m, lookahead; 32 bytes" in output
