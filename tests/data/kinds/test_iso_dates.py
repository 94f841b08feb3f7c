"""Dates of fixed width are converted as `datetime` does, and everything else is left to the general parser."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from mxtrain.data.kinds.dates import find_date_format, parse_dates
from mxtrain.data.kinds.iso_dates import fixed_width_days

YEARS = (1000, 2999)
EPOCH = datetime(1970, 1, 1)


@pytest.mark.parametrize("date_format", ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y%m%d"])
@pytest.mark.parametrize("time", ["", " %H:%M", "T%H:%M:%S"])
def test_every_date_of_four_centuries(date_format: str, time: str) -> None:
    moments = [datetime(1600, 1, 1) + timedelta(days=day, seconds=day * 977 % 86_400) for day in range(0, 146_100, 7)]
    texts = [moment.strftime(date_format + time) for moment in moments]
    found = fixed_width_days(pl.Series(texts), date_format, bool(time), YEARS)
    assert found is not None
    assert found[0].tolist() == list(range(len(texts)))
    written = [datetime.strptime(text, date_format + time) for text in texts]
    assert found[1].tolist() == [(moment - EPOCH) / timedelta(microseconds=1) / 86_400_000_000 for moment in written]


@pytest.mark.parametrize(
    "text",
    ["2023-02-29", "2100-02-29", "2024-13-01", "2024-00-10", "2024-04-31", "2024-01-00", "0999-01-01", "3000-01-01"]
    + ["2024-1-005", "2024/01/05", "20x4-01-05", "é24-01-05", "2024-01-05 ", "", None],
)
def test_other_texts_are_no_dates_of_fixed_width(text: str | None) -> None:
    texts = pl.Series(["2024-02-29", text], dtype=pl.String)
    found = fixed_width_days(texts, "%Y-%m-%d", False, YEARS)
    assert found is None or found[0].tolist() == [0]


@pytest.mark.parametrize("second", ["23:59", "23:59:59"])
@pytest.mark.parametrize("text", ["24:00", "23:60", "23:59:60", "ab:cd"])
def test_times_out_of_range(text: str, second: str) -> None:
    texts = pl.Series([f"2024-01-05 {second}", f"2024-01-05 {text}"])
    found = fixed_width_days(texts, "%Y-%m-%d", True, YEARS)
    assert found is not None
    assert found[0].tolist() in ([0], [])


def test_texts_of_other_widths_are_parsed_too() -> None:
    texts = pl.Series(["2024-01-05 06:00", "2024-1-6 06:00", None, "2024-01-07 06:00:30.5", "2024-01-08", "NA"])
    assert parse_dates(texts, "%Y-%m-%d", True).to_list() == pytest.approx(
        [19727.25, 19728.25, None, 19729.25 + 30.5 / 86_400, 19730.0, None]
    )


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-05 06:00", "2024-01-05T06:00"], ("%Y-%m-%d", True)),
        (["01/02/2024", "13/02/2024"], ("%d/%m/%Y", False)),
        (["01/02/2024", "02/13/2024"], ("%m/%d/%Y", False)),
        (["20240105", "20240106"], ("%Y%m%d", False)),
        (["2024-01-05", "2024-01-32"], None),
    ],
)
def test_formats(texts: list[str], expected: tuple[str, bool] | None) -> None:
    found = find_date_format(pl.Series(texts))
    assert (found and (found.text, found.has_time)) == expected
