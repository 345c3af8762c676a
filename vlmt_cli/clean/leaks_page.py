"""A page to look at leaks: which test images a mixture or a dataset shows, and how that is known.

One HTML file that needs nothing else: it opens from a disk and from any host of static files, loads nothing, and its
content security policy forbids it to. Names, captions and records are data to the page, never markup. A row of it is an
image of a benchmark as one file of the mixture shows it, in however many records.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.files import write_text
from vlmt_cli.base.images import data_uri, read_image
from vlmt_cli.base.page import escape_html, html_page
from vlmt_cli.base.words import count
from vlmt_cli.clean.scan import IMAGE_AND_TEXT

PAGE = "leaks.html"
MOST_ROWS = 20_000
"""Rows on the page, some 3 MB; the table beside it has all."""
MOST_SAID = 400
"""Rows, the first ones, that show records side by side, and pictures of them: some 30 kB each."""
_SCORES, _END = "<!-- scores -->", "<!-- end of scores -->"
_RECORDS = 5
_TEXTS = 5
_LONGEST = 1_000  # letters of a text
_THUMBNAIL = 240  # pixels of the longer side


@dataclass(frozen=True)
class Beside:
    """What is at hand to show beside a leak.

    Attributes:
        said: what a record of a file says.
        asked: what a benchmark asks of an image, or says about it.
        photos: the file of an image as the mixture names it, by its file and name.
        test_photos: the file of an image, by its key.
    """

    said: Mapping[tuple[str, int], str] = field(default_factory=dict)
    asked: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    photos: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    test_photos: Mapping[str, Path] = field(default_factory=dict)


def leak_rows(hits: pa.Table) -> pa.Table:
    """Put the hits of one image in one file together: first the first image of each file and benchmark, and so on.

    What only some rows show is so shown for every benchmark.

    Args:
        hits: of ``scan.HITS``.

    Returns:
        ``file``, ``benchmark``, ``image``, ``key``, ``written``, ``how``, ``record_list`` and ``record_id_list`` of all
        records, and ``has_text``: whether any of them has a text of the benchmark about the image.
    """
    by = ["file", "benchmark", "image", "key", "written", "how"]
    hits = hits.append_column("has_text", pc.equal(hits["shows"], IMAGE_AND_TEXT))
    rows = hits.group_by(by, use_threads=False).aggregate(
        [("record", "list"), ("record_id", "list"), ("has_text", "any")]
    )
    rows = rows.rename_columns([name.removesuffix("_any") for name in rows.column_names])
    cells = pc.binary_join_element_wise(rows["file"], rows["benchmark"], "\0").combine_chunks().dictionary_encode()
    cell = cells.indices.to_numpy(zero_copy_only=False)
    by_cell = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[by_cell], cell[by_cell])
    rank = np.empty(len(cell), np.int64)
    rank[by_cell] = np.arange(len(cell)) - starts
    return rows.take(np.argsort(rank, kind="stable"))


def write_leaks(
    path: Path,
    title: str,
    lead: str,
    rows: pa.Table,
    titles: Mapping[str, str],
    beside: Beside,
    table: str,
    trained: str = "file",
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        title, lead: what was compared, and what came out, in a sentence.
        rows: of ``leak_rows``.
        titles: of every benchmark that was looked for.
        beside: what to show with the first rows.
        table: the name of the file beside the page that has all rows.
        trained: what ``file`` is called: a file, or a dataset's split.

    Raises:
        VlmtError: it cannot be written.
    """
    images = rows.group_by(["file", "benchmark", "image"], use_threads=False).aggregate([])
    totals = _counted(images.group_by(["benchmark", "image"], use_threads=False).aggregate([])["benchmark"])
    benchmarks = sorted(totals, key=lambda name: (-totals[name], name))
    names = list(dict.fromkeys(rows["file"].to_pylist()))
    data, shown = _data(rows, benchmarks, names, titles, beside, table), min(len(rows), MOST_ROWS)
    notice = ""
    if shown < len(rows):
        notice = f"The lists below have the first {shown:,} of {len(rows):,} images; the matrix counts all, as {table}."
    parts = {
        "title": escape_html(title),
        "lead": escape_html(lead),
        "notice": f"<p class=notice>{escape_html(notice)}</p>" if notice else "",
        "matrix": _matrix(images, totals, benchmarks, names, titles, trained),
        "data": _harmless_json(data),
        "script": _file("leaks.js"),
    }
    # In one pass, so that what is put in is never searched for places to fill.
    body = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _file("leaks.html"))
    write_text(path, html_page(title, body, _file("leaks.css"), scripts=True))


def add_scores(path: Path, benchmark: str, header: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> bool:
    """Put scores on seen and unseen images onto a page; those of the same benchmark that were there are replaced.

    Args:
        path: the page.
        benchmark: which.
        header, rows: of the table.
        note: what they are, in a sentence.

    Returns:
        Whether there is such a page; one of another program, or none, is left alone.
    """
    with suppress(OSError, UnicodeDecodeError):
        page = path.read_text(encoding="utf-8")
        key = f"<!-- scores of {escape_html(benchmark).replace('--', '- -')} -->"
        page = re.sub(f"{re.escape(key)}.*?{_END}\n", "", page, flags=re.DOTALL)
        if page.count(_SCORES) != 1:
            return False
        head = "".join(f"<th scope=col>{escape_html(cell)}</th>" for cell in header)
        lines = "".join(f"<tr>{''.join(f'<td>{escape_html(cell)}</td>' for cell in row)}</tr>" for row in rows)
        title = f"Scores on seen and unseen images: {escape_html(benchmark)}, in %"
        block = (
            f"{key}<section><h2>{title}</h2><p>{escape_html(note)}</p><div class=scrolls tabindex=0 role=region"
            f' aria-label="{title}"><table class=scores><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
            f"</div></section>{_END}\n"
        )
        write_text(path, page.replace(_SCORES, block + _SCORES))
        return True
    return False


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    return {each["values"]: each["counts"] for each in pc.value_counts(column).to_pylist()}


def _matrix(
    images: pa.Table,
    totals: Mapping[str, int],
    benchmarks: Sequence[str],
    names: Sequence[str],
    titles: Mapping[str, str],
    trained: str,
) -> str:
    """Write the table of distinct images by benchmark (rows) and file (columns), each number a button."""
    if not benchmarks:
        return f"<p>No test image of {count(len(titles), 'benchmark')} was recognised.</p>"
    cells = {
        (each["file"], each["benchmark"]): each["image_count"]
        for each in images.group_by(["file", "benchmark"], use_threads=False)
        .aggregate([("image", "count")])
        .to_pylist()
    }
    short = _short(names)
    columns = (
        [(None, f"all {trained}s"), *(zip(names, short, strict=True))] if len(names) > 1 else [(names[0], short[0])]
    )
    head = "".join(f'<th scope=col title="{escape(name or "")}">{escape_html(label)}</th>' for name, label in columns)
    lines = []
    for number, benchmark in enumerate(benchmarks):
        buttons = []
        for name, label in columns:
            images_of = totals[benchmark] if name is None else cells.get((name, benchmark), 0)
            file = "" if name is None else names.index(name)
            spoken = f"{count(images_of, 'image')} of {titles.get(benchmark, benchmark)} in {label}"
            button = (
                f'<button type=button data-benchmark="{number}" data-file="{file}" aria-pressed=false'
                f' aria-label="{escape(spoken)}">{images_of:,}</button>'
            )
            buttons.append(f"<td>{button if images_of else '<span>0</span>'}</td>")
        lines.append(f"<tr><th scope=row>{escape_html(titles.get(benchmark, benchmark))}</th>{''.join(buttons)}</tr>")
    none = [title for name, title in titles.items() if name not in totals]
    rest = f"<p>No image of: {escape_html(', '.join(none))}.</p>" if none else ""
    return (
        f'<div class=scrolls tabindex=0 role=region aria-label="Test images shown"><table><caption>Test images shown,'
        f" by benchmark and {trained}</caption><thead><tr><th scope=col>benchmark</th>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>{rest}"
    )


def _short(names: Sequence[str]) -> list[str]:
    """Shorten paths to their last part, where these differ."""
    last = [name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name for name in names]
    return [short if last.count(short) == 1 else name for name, short in zip(names, last, strict=True)]


def _data(
    rows: pa.Table,
    benchmarks: Sequence[str],
    names: Sequence[str],
    titles: Mapping[str, str],
    beside: Beside,
    table: str,
) -> dict[str, Any]:
    """Lay out what the page's program shows; names that repeat are numbers of a list."""
    asked: dict[str, list[str]] = {}
    photos: dict[str, str] = {}
    laid = []
    number_of = {name: number for number, name in enumerate(benchmarks)}
    file_of = {name: number for number, name in enumerate(names)}
    for number, row in enumerate(rows.slice(0, MOST_ROWS).to_pylist()):
        benchmark = number_of[row["benchmark"]]
        records = row["record_list"]
        line = [
            file_of[row["file"]],
            benchmark,
            row["image"],
            row["key"] or "",
            row["written"] or "",
            row["how"],
            len(records),
            records[:_RECORDS],
            [each for each in row["record_id_list"][:_RECORDS] if each is not None],
            int(row["has_text"]),
        ]
        if number < MOST_SAID:
            line += [
                _cut(beside.said.get((row["file"], records[0]), "")),
                _photo(photos, beside.photos.get((row["file"], row["written"]))),
                _photo(photos, beside.test_photos.get(row["image"])),
            ]
            texts = beside.asked.get((row["benchmark"], row["image"]), ())
            if texts:
                more = [f"and {len(texts) - _TEXTS:,} more"] if len(texts) > _TEXTS else []
                asked[f"{benchmark} {row['image']}"] = [*map(_cut, texts[:_TEXTS]), *more]
        laid.append(line)
    return {
        "files": list(names),
        "benchmarks": [titles.get(name, name) for name in benchmarks],
        "table": table,
        "all": len(rows),
        "rows": laid,
        "asked": asked,
        "photos": photos,
    }


def _photo(photos: dict[str, str], path: Path | None) -> str:
    """Put a thumbnail among the page's photos, and return its name there; "" where it cannot be shown."""
    if path is None:
        return ""
    name = str(path)
    if name not in photos:
        picture = read_image(name)
        photos[name] = "" if isinstance(picture, str) else data_uri(picture, _THUMBNAIL)
    return name if photos[name] else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _harmless_json(data: Any) -> str:
    """Write JSON that stays within its script element, whatever stands in it."""
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _file(name: str) -> str:
    return files("vlmt_cli.clean").joinpath("assets", name).read_text(encoding="utf-8")
