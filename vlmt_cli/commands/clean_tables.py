"""A clean split's report in the terminal."""

import re

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vlmt_cli.clean.overlap import Share
from vlmt_cli.clean.report import Report
from vlmt_cli.clean.splits import CLEANED_ROLES
from vlmt_cli.commands.show import table
from vlmt_cli.datasets.table import short_title


def matrix_table(report: Report) -> Group:
    """Show, in percent, the test images of each row that were in each column's train and val images."""
    columns = list(dict.fromkeys(column for row in report.test_images_before.values() for column in row))
    grid = Table("test images of", *map(_head, columns), box=None, header_style="dim")
    for column in grid.columns[1:]:
        column.justify = "right"
    for test, row in report.test_images_before.items():
        grid.add_row(short_title(test), *(_shade(row.get(column)) for column in columns))
    title = Text("Test images in train and val images before cleaning, in %", style="bold")
    return Group(title, grid, "")


def images_table(report: Report) -> Group:
    """Show each dataset's train and val images and examples, before and after."""
    rows = []
    for images in report.images:
        cleaned = [split for split in report.splits if split.dataset == images.dataset and split.role in CLEANED_ROLES]
        examples, kept = (
            sum(cleaned_split.examples for cleaned_split in cleaned),
            sum(cleaned_split.kept for cleaned_split in cleaned),
        )
        rows.append(
            [
                short_title(images.dataset),
                f"{images.train_val:,}",
                f"{images.cleaned_train_val:,}",
                f"{images.removed_percent:.1f}%",
                f"{examples:,}",
                f"{kept:,}",
                f"{100 * (1 - kept / examples):.1f}%" if examples else "-",
                f"{images.test:,}",
            ]
        )
    header = ["dataset", "images", "kept", "removed", "examples", "kept", "removed", "test images"]
    return Group(table(header, rows, "Train and val images and examples before and after cleaning"), "")


def _head(name: str) -> str:
    """Return a dataset's short name in two lines where it is long, so that twelve fit beside each other."""
    return re.sub(r"(?<=[a-z])(?=\d)|(?<=^Ref)|(?<= )|(?<=-)", "\n", short_title(name)).replace(" \n", "\n")


def _shade(cell: Share | None) -> Text:
    if cell is None:
        return Text("")
    if not cell.hit:
        return Text("·", style="dim")
    percent = cell.percent
    style = "red bold" if percent >= 50 else "red" if percent >= 10 else "yellow"
    return Text(f"{percent:.0f}" if percent >= 1 else "<1", style=style)
