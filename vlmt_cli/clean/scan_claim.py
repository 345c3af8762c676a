"""What the report of a scan claims, in words: how far was compared, what was passed over, and what the index lacks."""

from typing import NamedTuple

from vlmt_cli.base.words import be, count, escaped, quoted
from vlmt_cli.clean.scan_index import NAME, PICTURE
from vlmt_cli.clean.scan_report import ScanReport

_SHOWN, _EXAMPLES = 12, 3
_WORDS = {"flickr": "address", "url": "address", "sha256": "hash", "md5": "hash", PICTURE: "picture"}
_SUCH = {"address": "addresses", "hash": "hashes", "picture": "looks"}


def compared_with(report: ScanReport, name: str) -> int:
    """Count the images of a mixture that were compared with one of the benchmarks.

    An image without a name is compared only by what the index has of the benchmark: addresses, hashes, looks.
    """
    ways = report.benchmarks[name].ways
    return sum(images for way, images in report.ways.items() if not {*way.split("+")}.isdisjoint(ways))


class Partly(NamedTuple):
    """Images without a name that were compared with some of the benchmarks, or with none.

    Attributes:
        by: by what alone they are known: address, hash, picture.
        images: how many.
        benchmarks: with which they were compared.
        examples: as they stand in the mixture.
    """

    by: str
    images: int
    benchmarks: tuple[str, ...]
    examples: tuple[str, ...]


def partly_compared(report: ScanReport) -> list[Partly]:
    """List the images that were not compared with all benchmarks, the most first."""
    groups: dict[tuple[str, tuple[str, ...]], tuple[int, tuple[str, ...]]] = {}
    for way, images in report.ways.items():
        ways = way.split("+")
        names = tuple(name for name, each in report.benchmarks.items() if not {*ways}.isdisjoint(each.ways))
        if way == NAME or len(names) == len(report.benchmarks):
            continue
        by = " and ".join(dict.fromkeys(_WORDS[each] for each in ways))
        had, examples = groups.get((by, names), (0, ()))
        groups[by, names] = had + images, (examples + report.way_examples.get(way, ()))[:_EXAMPLES]
    every = [Partly(by, images, names, examples) for (by, names), (images, examples) in groups.items()]
    return sorted(every, key=lambda each: -each.images)


def conclusion(report: ScanReport) -> str:
    """Say in a sentence or two what was found, and how far was looked."""
    if not report.records:
        return "The mixture has no records: nothing was compared."
    unnamed = sum(each.images for each in report.unnamed.values())
    may_be = "a test image" if unnamed == 1 else "test images"
    rest = f", and nothing names {unnamed:,}, which may be {may_be}" if unnamed else ""
    means = "name, address or hash" if report.pictures is None else "name, address, hash or picture"
    looked = f"{report.compared:,} of {count(report.images, 'image')} could be compared by {means}"
    looked += f"{_some(report)}{rest}."
    if unseen := sum(report.unseen.values()):
        looked += f" {count(unseen, 'picture')} could not be compared."
    if report.damaged:
        looked += f" {count(report.damaged, 'record')} could not be read, and may show any image."
    if report.to_judge:
        looked += f" {count(report.to_judge, 'picture')} may be a test image: a person must judge."
    if not report.hit_records:
        return f"No record shows a test image that was recognised: {looked}"
    share = 100 * report.hit_records / report.records
    show = "shows" if report.hit_records == 1 else "show"
    return f"{report.hit_records:,} of {count(report.records, 'record')} ({share:.1f}%) {show} test images: {looked}"


def _some(report: ScanReport) -> str:
    """Say how many images were compared with a part of the benchmarks alone."""
    said: dict[tuple[str, ...], int] = {}
    for each in partly_compared(report):
        if each.benchmarks:
            said[each.benchmarks] = said.get(each.benchmarks, 0) + each.images
    of = len(report.benchmarks)
    return "".join(
        f", {images:,} of them only with {', '.join(names) if len(names) < 4 else f'{len(names)} of {of} benchmarks'}"
        for names, images in said.items()
    )


def notes(report: ScanReport) -> list[str]:
    """Say what was passed over: a line each."""
    said = []
    if empty := [each.path for each in report.mixture if not each.records]:
        names = ", ".join(quoted(path) for path in empty[:_EXAMPLES])
        said.append(f"{count(len(empty), 'file')} without records (such as {names}).")
    said += _sampled(report)
    if report.without_image:
        said.append(f"{count(report.without_image, 'record')} without an image.")
    if report.unmet:
        todo = "is the field of their images called image or images?"
        said.append(f"{count(report.unmet, 'record')} with <image> in the text, and without an image: {todo}")
    if report.videos:
        said.append(f"{count(report.videos, 'video')}, not compared.")
    if report.damaged:
        examples = "; ".join(report.damaged_examples)
        said.append(f"{count(report.damaged, 'record')} could not be read ({escaped(examples)}).")
    for reason, unseen in report.unseen.items():
        said.append(f"{count(unseen, 'picture')} not compared: {escaped(reason)}.")
    if report.embedding:
        said.append(f"{escaped(report.embedding)}.")
    if report.other_sources:
        sources = ", ".join(f"{name} {images:,}" for name, images in list(report.other_sources.items())[:_SHOWN])
        said.append(f"Images of sources that none of these benchmarks uses: {sources}.")
    said += map(_only_partly, partly_compared(report))
    for folder, each in list(report.unnamed.items())[:_SHOWN]:
        if not folder and not each.examples:
            images = f"{count(each.images, 'image')} {'has' if each.images == 1 else 'have'}"
            said.append(f"{images} no name, and {'was' if each.images == 1 else 'were'} not compared.")
            continue
        where = quoted(folder) if folder else "no folder"
        examples = ", ".join(quoted(name) for name in each.examples)
        said.append(f"Not named, and not compared: {count(each.images, 'image')} in {where} (such as {examples}).")
    if len(report.unnamed) > _SHOWN:
        said.append(f"Not named, in {len(report.unnamed) - _SHOWN:,} further folders: report.json lists them.")
    if report.idle_rules:
        rules = ", ".join(quoted(rule) for rule in report.idle_rules[:_EXAMPLES])
        more = f" and {len(report.idle_rules) - _EXAMPLES:,} more" if len(report.idle_rules) > _EXAMPLES else ""
        fit = "Rules that fit" if len(report.idle_rules) > 1 else "A rule that fits"
        said.append(f"{fit} no name: {rules}{more}. A pattern is the end of a path, whole folders at a time.")
    if report.hit_records and not any(each.has_texts for each in report.benchmarks.values()):
        said.append("The index has no texts of these benchmarks: an image that was seen does not mean a seen question.")
    return said


def _sampled(report: ScanReport) -> list[str]:
    """Say of files that their lists sample what training sees of them."""
    lines = []
    for each in report.mixture:
        if each.sampling is None or each.seen_records == each.records:
            continue
        what = f"{quoted(each.path)} is sampled by its list ({escaped(each.sampling)}), and all its records are counted"
        if each.seen_records is None:
            lines.append(f"{what}: which of them training sees is drawn at random.")
        else:
            hits = f"{each.seen_hit_records or 0:,} of {count(each.hit_records, 'record')} with test images among them"
            lines.append(f"{what}: training sees {each.seen_records:,} of {each.records:,}, {hits}.")
    rest = len(lines) - _SHOWN
    return lines[:_SHOWN] + ([f"And {rest:,} further sampled files: report.json lists them."] if rest > 0 else [])


def _only_partly(each: Partly) -> str:
    images = f"{count(each.images, 'image')} {be(each.images)} known by {each.by} alone"
    what = _SUCH.get(each.by, "such")
    names = ", ".join(each.benchmarks[:_EXAMPLES])
    names += f" and {len(each.benchmarks) - _EXAMPLES} others" if len(each.benchmarks) > _EXAMPLES else ""
    some = f"compared only with {names}: of the other benchmarks the index has no {what}"
    none = f"not compared: the index has no {what} of these benchmarks' images"
    examples = f" (such as {', '.join(map(quoted, each.examples))})" if each.examples else ""
    return f"{images}, and {some if names else none}{examples}."


def gaps(report: ScanReport) -> list[str]:
    """Say what the index lacks of the benchmarks, and what that could hide: a line each."""
    lacking: dict[str, list[str]] = {}
    for name, benchmark in report.benchmarks.items():
        for gap in benchmark.lacks:
            lacking.setdefault(gap, []).append(name)
    return [
        f"{', '.join(names[:3])}{f' and {len(names) - 3} others' if len(names) > 3 else ''}: {gap}."
        for gap, names in lacking.items()
    ]


def rows_of(report: ScanReport) -> tuple[list[str], list[list[str]]]:
    """Lay the benchmarks out, those with most images first; those without a hit follow."""
    has_texts = any(each.has_texts for each in report.benchmarks.values())
    more = ["with text"] if has_texts else []
    compared = {name: compared_with(report, name) for name in report.benchmarks}
    is_uneven = len({*compared.values()}) > 1
    header = ["benchmark", "test images shown", "of", "% of known", "records", *more, "known by"]
    header[4:4] = ["compared with"] if is_uneven else []
    rows = []
    for name, each in sorted(report.benchmarks.items(), key=lambda item: (-item[1].images, item[0])):
        of = f"{each.known:,}" + (f" ({each.of:,} in truth)" if (each.of or 0) > each.known else "")
        is_open = not (each.images or compared[name])  # nothing was compared with it
        percent = 100 * each.images / each.known if each.known else 0.0
        share = "<0.1" if 0 < percent < 0.05 else f"{percent:.1f}"
        how = ", ".join(f"{way} {images:,}" for way, images in sorted(each.how.items(), key=lambda item: -item[1]))
        text = [f"{each.with_text:,}" if each.has_texts else "-"] if has_texts else []
        if is_open:
            share = "-"
        among = [f"{count(compared[name], 'image')}"] if is_uneven else []
        rows.append([name, "-" if is_open else f"{each.images:,}", of, share, *among, f"{each.records:,}", *text, how])
    return header, rows


def without_hit(report: ScanReport) -> list[str]:
    """Say of which benchmarks no image was recognised, and with which none was compared: a line each."""
    by_compared: dict[int, list[str]] = {}
    for name in sorted(report.benchmarks):
        if not report.benchmarks[name].images:
            by_compared.setdefault(compared_with(report, name), []).append(name)
    lines = []
    for compared in sorted(by_compared, reverse=True):
        names = ", ".join(by_compared[compared])
        if not compared:
            lines += [f"Not compared with: {names}."] if report.images else []
        elif compared == report.compared:
            lines.append(f"None of: {names}.")
        else:
            lines.append(f"None of, in the {count(compared, 'image')} compared with them: {names}.")
    return lines


def markdown(report: ScanReport) -> str:
    """Write the report for people."""
    header, rows = rows_of(report)
    lines = ["# Test images in a training mixture", "", escaped(conclusion(report)), ""]
    lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    lines += ["", "## What was passed over, and what the index lacks", ""]
    lines += [f"- {_plain(note)}" for note in [*notes(report), *gaps(report)]] or ["- Nothing."]
    is_sampled = any(each.sampling for each in report.mixture)
    header = ["file", "form", "records", "with test images", *(["sampled"] if is_sampled else [])]
    lines += ["", "## Files", "", f"| {' | '.join(header)} |", f"|---|---|---:|---:|{'---|' * is_sampled}"]
    for each in report.mixture:
        cells = [_plain(each.path), each.form, f"{each.records:,}", f"{each.hit_records:,}"]
        lines.append(f"| {' | '.join([*cells, *([_plain(each.sampling or '')] if is_sampled else [])])} |")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Keep what others wrote from being read as Markdown or HTML."""
    return escaped(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("`", "&#96;")
