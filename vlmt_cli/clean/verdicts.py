"""What a person has judged of pairs of images: one text file, a pair a line.

same coco:9 vg:2410          # a crop of it
different coco:17 vg:88
coco:18 vg:89                # as different: the only kind in older files
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.documents import read_text
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.keys import check_image_key

ImagePair = frozenset[str]
"""Two image keys."""
VERDICT_WORDS = ("same", "different")


@dataclass(frozen=True)
class Verdicts:
    """Pairs that a person has judged.

    Attributes:
        same: pairs that show one image.
        different: pairs that do not.
        text: the file that they come from, as it stands.
    """

    same: frozenset[ImagePair] = frozenset()
    different: frozenset[ImagePair] = frozenset()
    text: str = ""


NONE = Verdicts()


def read_verdicts(path: Path) -> Verdicts:
    """Read a file of verdicts.

    Raises:
        DataError: the file cannot be read, a line is not a verdict, or verdicts contradict each other: a pair is
            judged both ways, or judged different where other verdicts make it the same.
    """
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        todo = "name the file that the gallery page saved"
        raise DataError(f"cannot be read as verdicts ({error.strerror})", where=path, todo=todo) from error
    judged: dict[ImagePair, tuple[str, int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        word, pair = _verdict(words, f"{path}:{number}")
        before, first = judged.setdefault(pair, (word, number))
        if before != word:
            raise DataError(
                f"{' and '.join(sorted(pair))} are judged {word}, and {before} in line {first}",
                where=f"{path}:{number}",
                todo="remove one of the two lines",
            )
    verdicts = Verdicts(
        same=frozenset(pair for pair, (word, _) in judged.items() if word == "same"),
        different=frozenset(pair for pair, (word, _) in judged.items() if word == "different"),
        text=text,
    )
    _check_together(verdicts, {pair: number for pair, (_, number) in judged.items()}, path)
    return verdicts


def _verdict(words: list[str], where: str) -> tuple[str, ImagePair]:
    word = words.pop(0) if words[0] in VERDICT_WORDS else "different"
    pair = frozenset(check_image_key(key, where) for key in words)
    if len(words) != 2 or len(pair) != 2:
        todo = "write same or different, and two image keys: same coco:1 vg:2"
        raise DataError("is not a verdict on two images", where=where, todo=todo)
    return word, pair


def _check_together(verdicts: Verdicts, lines: dict[ImagePair, int], path: Path) -> None:
    """Raise a DataError when two images are judged different that chains of same pairs join."""
    joined: dict[str, set[str]] = {}
    for pair in verdicts.same:
        group = set().union(*(joined.get(key, {key}) for key in pair))
        joined |= dict.fromkeys(group, group)
    for pair in sorted(verdicts.different, key=lines.__getitem__):
        first, second = sorted(pair)
        if second in (group := joined.get(first, set())):
            chain = sorted(lines[same] for same in verdicts.same if same <= group)
            raise DataError(
                f"{first} and {second} are judged different, but the same over other images"
                f" (lines {', '.join(map(str, chain))})",
                where=f"{path}:{lines[pair]}",
                todo="correct one of these lines",
            )


def without(pairs: pa.Table, judged: Iterable[ImagePair]) -> pa.Table:
    """Leave the pairs of some image keys out of a table of ``PAIRS``."""
    names = pa.array([" ".join(sorted(pair)) for pair in judged], pa.string())
    both = pc.binary_join_element_wise(pairs["image_a"], pairs["image_b"], " ")
    return pairs.filter(pc.invert(pc.is_in(both, value_set=names)))


def links(pairs: pa.Table, verdicts: Verdicts = NONE) -> pa.Table:
    """Turn pairs, and what a person says of them, into identity links; borderline pairs alone never link.

    Two images judged to be different are still the same image where a third one is
    linked to both: judge that pair too.

    Args:
        pairs: a table of ``PAIRS``.
        verdicts: of a person; pairs judged the same need not be among ``pairs``.

    Returns:
        A table of ``LINKS``, each two images once, by pixels where they can be, and ``judged`` where files do not tell.
    """
    believed = without(pairs, verdicts.different).filter(pc.field("how") != "borderline")
    by_files = believed.group_by(["image_a", "image_b"]).aggregate([("how", "max")])  # "pixels" > "perceptual"
    by_files = by_files.sort_by([("image_a", "ascending"), ("image_b", "ascending")])
    known = set(zip(by_files["image_a"].to_pylist(), by_files["image_b"].to_pylist(), strict=True))
    judged = [pair for pair in sorted(map(tuple, map(sorted, verdicts.same))) if pair not in known]
    return pa.concat_tables(
        [
            pa.table([by_files["image_a"], by_files["image_b"], by_files["how_max"]], schema=LINKS),
            pa.table([[a for a, _ in judged], [b for _, b in judged], ["judged"] * len(judged)], schema=LINKS),
        ]
    )


def settled(hits: pa.Table, verdicts: Verdicts | None) -> pa.Table:
    """Apply a person's verdicts to rows of ``scan.HITS``: those that only look alike become hits or go.

    A verdict names the benchmark's image and ``pixels`` of the mixture's.
    """
    if verdicts is None or hits["distance"].null_count + hits["cosine"].null_count == 2 * len(hits):
        return hits
    how: list[str | None] = []
    for row in hits.select(["image", "pixels", "how", "distance", "cosine"]).to_pylist():
        pair = frozenset({row["image"], row["pixels"]})
        if row["distance"] is None and row["cosine"] is None:
            how.append(row["how"])
        elif pair in verdicts.different:
            how.append(None)
        else:
            how.append("judged" if pair in verdicts.same else row["how"])
    column = pa.array(how, pa.string())
    number = hits.schema.get_field_index("how")
    return hits.set_column(number, hits.schema.field(number), column).filter(pc.is_valid(column))
