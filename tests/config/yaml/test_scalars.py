"""Plain scalars, by the core schema of YAML 1.2."""

from collections.abc import Callable
from math import copysign
from pathlib import Path
from typing import Any

import pytest

from mxtrain.config.yaml import parser
from mxtrain.config.yaml.nodes import to_python
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import ConfigError


def _value_of(text: str) -> Any:
    Path("value.yaml").write_text(f"value: {text}\n", encoding="utf-8")
    report = ProblemReport()
    values = to_python(parser.read_file("value.yaml", report))
    report.check()
    assert isinstance(values, dict)
    return values["value"]


SPELLINGS: list[tuple[str, Any]] = [
    # nothing
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("nULL", "nULL"),
    ("none", "none"),
    # true and false, in three spellings each
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("false", False),
    ("False", False),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    # strings that YAML 1.1 reads as booleans
    ("yes", "yes"),
    ("Yes", "Yes"),
    ("no", "no"),
    ("NO", "NO"),
    ("on", "on"),
    ("off", "off"),
    ("Off", "Off"),
    ("y", "y"),
    ("n", "n"),
    # whole numbers
    ("0", 0),
    ("-0", 0),
    ("7", 7),
    ("+7", 7),
    ("-7", -7),
    ("010", 10),
    ("08", 8),
    ("0o17", 15),
    ("0xFF", 255),
    ("0xff", 255),
    ("18446744073709551615", 2**64 - 1),
    ("1" * 100, int("1" * 100)),
    # strings that resemble whole numbers
    ("0b1", "0b1"),
    ("0o8", "0o8"),
    ("0xG", "0xG"),
    ("-0xFF", "-0xFF"),
    ("1_000", "1_000"),
    ("1,000", "1,000"),
    ("1:30", "1:30"),
    ("190:20:30", "190:20:30"),
    ("٣", "٣"),
    ("++1", "++1"),
    # numbers
    ("1e-3", 0.001),
    ("1E3", 1000.0),
    ("1e+22", 1e22),
    ("1e-08", 1e-8),
    (".5", 0.5),
    ("-.5", -0.5),
    ("+.5", 0.5),
    ("1.", 1.0),
    ("1.0", 1.0),
    ("-1.5E+3", -1500.0),
    ("007.5", 7.5),
    ("1.e2", 100.0),
    ("1.7976931348623157e308", 1.7976931348623157e308),
    ("5e-324", 5e-324),
    ("1e-999", 0.0),
    # strings that resemble numbers
    (".", "."),
    ("1e", "1e"),
    ("e3", "e3"),
    ("1.2.3", "1.2.3"),
    ("1e3.5", "1e3.5"),
    ("inf", "inf"),
    ("nan", "nan"),
    ("Infinity", "Infinity"),
    (".infinity", ".infinity"),
    ("-.nan", "-.nan"),
    ("1.5f", "1.5f"),
    ("20%", "20%"),
    # dates are strings
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T12:00:00Z", "2024-01-01T12:00:00Z"),
    # quotes make strings
    ('"1"', "1"),
    ("'1e-3'", "1e-3"),
    ('"true"', "true"),
    ("'null'", "null"),
    ('""', ""),
    ("'~'", "~"),
    ("'it''s'", "it's"),
    ('"\\u03b7 \\x41 \\t\\\\"', "η A \t\\"),
    # text
    ("mlp", "mlp"),
    ("η", "η"),
    ("two words # and a comment", "two words"),
    ("C:\\data", "C:\\data"),
    ("a#b", "a#b"),
    ("=", "="),
    ("one\n  two", "one two"),
    ("|\n  one\n  two", "one\ntwo\n"),
    (">-\n  one\n  two", "one two"),
    # lists and mappings
    ("[]", []),
    ("{}", {}),
    ("[1, 2.0, x, [~]]", [1, 2.0, "x", [None]]),
    ("{a: 1, b: {c: true}}", {"a": 1, "b": {"c": True}}),
    ("\n- 1\n- 2", [1, 2]),
    ("\n  a: no\n  b: 1e-3", {"a": "no", "b": 0.001}),
    ("[&x 1, *x, *x]", [1, 1, 1]),
]


@pytest.mark.parametrize(("text", "value"), SPELLINGS, ids=[text for text, _ in SPELLINGS])
def test_plain_scalars_follow_the_core_schema(text: str, value: Any, here: Path, yaml_loader: str) -> None:
    got = _value_of(text)

    assert got == value
    assert type(got) is type(value)


def test_a_negative_zero_keeps_its_sign(here: Path) -> None:
    assert copysign(1, _value_of("-0.0")) == -1


REFUSED = [
    (".inf", "must be a finite number, got .inf"),
    ("-.inf", "must be a finite number, got -.inf"),
    ("+.Inf", "must be a finite number, got +.Inf"),
    (".INF", "must be a finite number, got .INF"),
    (".nan", "must be a finite number, got .nan"),
    (".NaN", "must be a finite number, got .NaN"),
    (".NAN", "must be a finite number, got .NAN"),
    ("1e309", "must be a finite number, got 1e309"),
    ("1" * 5000, "a number may have at most 100 characters, got 5000"),
    ("0x" + "f" * 5000, "a number may have at most 100 characters, got 5002"),
    ("0." + "1" * 5000, "a number may have at most 100 characters, got 5002"),
    ("!!int 3", "tags are not supported; remove !!int"),
    ("! 3", "tags are not supported; remove !"),
    ("!!str 3", "tags are not supported; remove !!str"),
    ("!!binary aGk=", "tags are not supported; remove !!binary"),
    ("!!python/object/apply:os.system ['true']", "tags are not supported; remove !!python/object/apply:os.system"),
    ("!local {a: 1}", "tags are not supported; remove !local"),
    ("*missing", "the alias *missing has no anchor before it"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:20] for text, _ in REFUSED])
def test_invalid_numbers_are_rejected(
    text: str, message: str, here: Path, yaml_loader: str, error_lines: Callable[..., list[str]]
) -> None:
    assert error_lines(_value_of, text) == [f"value.yaml:1:8: value: {message}"]


def test_half_of_a_surrogate_pair_is_rejected(here: Path, yaml_loader: str) -> None:
    with pytest.raises(ConfigError, match=r"value\.yaml:1:"):
        _value_of('"\\ud800"')
