"""Formatting of numbers, durations and metrics for people."""


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
