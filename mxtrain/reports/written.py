"""A report on the disk: a page, and a folder of pictures beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mxtrain.reports.charts import Figure
from mxtrain.reports.page import Html, page
from mxtrain.reports.pictures import picture
from mxtrain.training.durable import write_file


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        page: the HTML file.
        pictures: a PNG of each figure.
        notes: what could not be shown, and why; the page says it too.
    """

    page: Path
    pictures: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def write_report(
    path: Path, title: str, blocks: Sequence[Html], figures: Sequence[Figure], notes: Sequence[str] = ()
) -> Report:
    """Write a report; each file is put in its place whole.

    Args:
        path: the page's; the pictures go into a folder beside it that is called like it, without the ending.
        title, blocks, figures: see `page`.
        notes: see `Report`.

    Raises:
        OSError: a file cannot be written.
    """
    write_file(path, page(title, blocks, figures).encode())
    folder = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}-pictures")
    pictures = []
    for figure in figures:
        folder.mkdir(exist_ok=True)
        pictures.append(folder / f"{figure.key}.png")
        write_file(pictures[-1], picture(figure))
    return Report(path, tuple(pictures), tuple(notes))
