"""Formatting of numbers, durations and counts in messages and reports."""

from collections.abc import Mapping


def format_number(value: float | None) -> str:
    """Format a metric or a rate with four decimals or four significant digits; None as a dash.

    >>> format_number(0.97213), format_number(1), format_number(2901.34), format_number(0.00005), format_number(None)
    ('0.9721', '1.0000', '2901', '5e-05', '–')
    """
    if value is None:
        return "–"
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Format a duration.

    >>> format_duration(1.234), format_duration(75), format_duration(3700)
    ('1.2 s', '1 min 15 s', '1 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Format a count with its noun in the singular or the plural.

    >>> format_count(1, "epoch"), format_count(1200, "epoch"), format_count(2, "batch", "batches")
    ('1 epoch', '1,200 epochs', '2 batches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_objective(metric: str, value: float) -> str:
    """Format the value of an objective of a sweep.

    >>> format_objective("val_loss", 0.5), format_objective("parameters", 4810.0)
    ('0.5000', '4,810')
    """
    return f"{value:,.0f}" if metric == "parameters" else format_number(value)


def format_value(value: object, digits: int = 6) -> str:
    """Format a value of a config as YAML spells it, without quotes.

    Args:
        value: a scalar, a sequence or a mapping.
        digits: significant digits of floats.

    Example:
        >>> format_value([64, 64]), format_value({"kind": "sgd", "clip": 0.1}), format_value(0.00123456789)
        ('[64, 64]', '{kind: sgd, clip: 0.1}', '0.00123457')
        >>> format_value(True), format_value(None), format_value("adam")
        ('true', 'null', 'adam')
    """
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.{digits}g}"
        case int() if abs(value) >= 10**40:
            return "an integer of more than 40 digits"
        case list() | tuple():
            return f"[{', '.join(format_value(item, digits) for item in value)}]"
        case Mapping():
            return f"{{{', '.join(f'{name}: {format_value(item, digits)}' for name, item in value.items())}}}"
    return str(value)
