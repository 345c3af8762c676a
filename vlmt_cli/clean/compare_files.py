"""Image files as a source of identity: the links that equal and like files give, and what a person should judge."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.identity import HOW, flickr30k_links, same_image
from vlmt_cli.clean import verdicts as verdict_files
from vlmt_cli.clean.claim import UNUSED
from vlmt_cli.clean.image_files import DamagedImage, image_files
from vlmt_cli.clean.image_hashes import hash_images
from vlmt_cli.clean.near_duplicates import find_pairs
from vlmt_cli.clean.report import NearDuplicates, PassedOver
from vlmt_cli.clean.splits import CLEANED_ROLES, Split, with_role
from vlmt_cli.clean.verdicts import Verdicts, without


@dataclass(frozen=True)
class Compared:
    """What comparing files gave.

    Attributes:
        links: identity links.
        pairs: all pairs but those judged to be different, a table of ``near_duplicates.PAIRS``.
        to_judge: those to show to a person.
        near_duplicates: the counts.
    """

    links: pa.Table
    pairs: pa.Table
    to_judge: pa.Table
    near_duplicates: NearDuplicates


def compare_files(
    splits: Sequence[Split],
    links: pa.Table,
    folders: Sequence[str],
    *,
    verdicts: Verdicts = verdict_files.NONE,
    same: int,
    borderline: int,
    cache: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Compared:
    """Compare the image files of the images that some split has.

    Args:
        splits: the splits.
        links: the identity links that official files give.
        folders: ``FOLDER`` or ``source=FOLDER`` (see ``image_files``).
        verdicts: what a person says of pairs of images.
        same, borderline: distances in bits (see ``find_pairs``).
        cache, workers, progress: see ``hash_images``.
    """
    files, skipped = image_files(folders)
    known = set(_images(splits).to_pylist())
    used = [file for file in files if file.image in known]
    skipped += [DamagedImage(file.path, UNUSED) for file in files if file.image not in known]
    hashes, damaged = hash_images(used, cache, workers, progress)
    pairs = find_pairs(hashes, same, borderline, apart={key for pair in verdicts.different for key in pair})
    by_files = verdict_files.links(pairs, verdicts)
    not_different = without(pairs, verdicts.different)
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(not_different["how"]).to_pylist()}
    numbers = _Numbers(splits, hashes, pa.concat_tables([links, by_files]))
    to_judge = _to_judge(without(not_different, verdicts.same), numbers)
    duplicates = NearDuplicates(
        files=len(hashes),
        images=int(numbers.has_file.sum()),
        images_without_file=int((numbers.matters & ~numbers.has_file).sum()),
        pairs=dict(sorted(counts.items())),
        judged_same=len(verdicts.same),
        judged_different=len(pairs) - len(not_different),
        to_judge=pc.sum(pc.equal(to_judge["how"], "borderline")).as_py() or 0,
        passed_over=_counted(skipped),
        damaged=[f"{damaged_file.path}: {damaged_file.reason}" for damaged_file in damaged],
    )
    return Compared(by_files, not_different, to_judge, duplicates)


class _Numbers:
    """The images behind the splits' keys and the files, under all links, and what each of them is.

    Attributes:
        tested, trained: whether a test set has the image, or a split that is cleaned.
        matters: whether one of the two does.
        has_file: whether a file of it was compared, and it matters.
    """

    def __init__(self, splits: Sequence[Split], hashes: pa.Table, links: pa.Table) -> None:
        self._keys = pa.concat_arrays([_images(splits), hashes["image"].combine_chunks()]).unique()
        named = pa.concat_arrays([self._keys, *links["image"].chunks, *links["alias"].chunks])
        self._numbers = same_image(self._keys, pa.concat_tables([links, flickr30k_links(named)]))[HOW[-1]]
        self.tested = self._mark(_images(with_role(splits, "test")))
        self.trained = self._mark(_images(with_role(splits, *CLEANED_ROLES)))
        self.matters = self.tested | self.trained
        self.has_file = self._mark(hashes["image"].combine_chunks()) & self.matters

    def of(self, images: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
        """Return the numbers of N image keys."""
        numbers: NDArray[np.int32] = self._numbers[pc.index_in(images, self._keys).to_numpy()]
        return numbers

    def _mark(self, images: pa.Array) -> NDArray[np.bool_]:
        marked = np.zeros(int(self._numbers.max(initial=-1)) + 1, bool)
        marked[self.of(images)] = True
        return marked


def _to_judge(pairs: pa.Table, numbers: _Numbers) -> pa.Table:
    """Keep the pairs of a test image and one that is trained on; borderline ones only where a verdict changes a thing.

    It changes nothing where the two are one image by other links, or where the image that is trained on is itself a
    test image, which is removed anyway.
    """
    a, b = numbers.of(pairs["image_a"]), numbers.of(pairs["image_b"])
    tested, trained = numbers.tested, numbers.trained
    crossing = (tested[a] & trained[b]) | (tested[b] & trained[a])
    is_open = (tested[a] & trained[b] & ~tested[b]) | (tested[b] & trained[a] & ~tested[a])
    is_borderline = pc.equal(pairs["how"], "borderline").to_numpy()
    return pairs.filter(pa.array(np.where(is_borderline, is_open, crossing)))


def _counted(skipped: Sequence[DamagedImage]) -> list[PassedOver]:
    """Count the files that were passed over by reason, with the first of each."""
    counts = Counter(file.reason for file in skipped)
    first = {file.reason: file.path for file in reversed(skipped)}
    return [PassedOver(reason=reason, files=counts[reason], first=first[reason]) for reason in sorted(counts)]


def _images(splits: Sequence[Split]) -> pa.Array:
    return pa.concat_arrays([pa.array([], pa.string()), *(split.images.flatten() for split in splits)]).unique()
