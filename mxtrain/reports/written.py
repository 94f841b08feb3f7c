"""A report on the disk: a page, and a folder of pictures beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mxtrain.atomic_io import refuse_link, write_file, write_output
from mxtrain.reports.charts import Figure
from mxtrain.reports.page import Html, page
from mxtrain.reports.pictures import picture


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
    path: Path,
    title: str,
    blocks: Sequence[Html],
    figures: Sequence[Figure],
    notes: Sequence[str] = (),
    *,
    follow: bool = False,
) -> Report:
    """Write a report; each file is put in its place whole.

    Args:
        path: the page's; the pictures go into a folder beside it that is called like it, without the ending.
        title, blocks, figures: see `page`.
        notes: see `Report`.
        follow: whether to follow symbolic links, for a path that the user chose; in the folder of a run they are
            replaced.

    Raises:
        OSError: a file cannot be written.
    """
    folder = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}-pictures")
    pictures = [folder / f"{figure.key}.png" for figure in figures]
    if follow:
        write = write_output
    else:
        write = write_file
        refuse_link(folder)
    write(path, page(title, blocks, figures).encode())
    for figure, file in zip(figures, pictures, strict=True):
        folder.mkdir(exist_ok=True)
        write(file, picture(figure))
    return Report(path, tuple(pictures), tuple(notes))
