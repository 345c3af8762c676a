"""The page on which a person judges pictures of a mixture that look like test images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.clean.gallery import write_gallery
from vlmt_cli.clean.near_duplicates import PAIRS
from vlmt_cli.clean.verdicts import Verdicts


def write_hit_gallery(
    path: Path, hits: pa.Table, shown: Mapping[str, bytes], verdicts: Verdicts, files: Mapping[str, str]
) -> bool:
    """Write the page of borderline hits, and of those by embeddings or by pictures that differ in more than a few bits.

    Args:
        path: the HTML file to write.
        hits: rows of ``HITS``.
        shown: small pictures of the mixture's images by ``HITS.pixels``.
        verdicts: given before.
        files: the test images' files by their keys, where they are at hand.

    Returns:
        Whether there was anything to show.
    """
    doubtful = hits.filter(pc.is_in(hits["pixels"], value_set=pa.array(sorted(shown), pa.string())))
    doubtful = doubtful.filter(pc.or_(pc.is_valid(doubtful["distance"]), pc.is_valid(doubtful["cosine"])))
    names = pc.binary_join_element_wise(doubtful["image"], doubtful["pixels"], " ").to_pylist()
    doubtful = doubtful.take(pa.array(np.unique(np.array(names, str), return_index=True)[1]))
    if not len(doubtful):
        path.unlink(missing_ok=True)
        return False
    pictures: dict[str, bytes] = {}
    rows = []
    for row in doubtful.to_pylist():
        where = f"{row['file']}: record {row['record']}"
        pictures[where] = shown[row["pixels"]]
        test = files.get(row["image"], "")
        rows.append((row["image"], row["pixels"], test, where, row["distance"], row["how"], row["cosine"]))
    pairs = pa.table(
        [list(column) for column in zip(*rows, strict=True)], schema=PAIRS.append(pa.field("cosine", pa.float32()))
    )
    write_gallery(path, pairs, verdicts, pictures=pictures, again="vlmt scan --images --verdicts verdicts.txt")
    return True
