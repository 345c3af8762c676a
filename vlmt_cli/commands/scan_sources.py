"""Files of a mixture passed over an index, with a bar; for ``vlmt scan`` and ``vlmt clean --mixture``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from vlmt_cli.clean.scan import ScanIndex, Tally
    from vlmt_cli.clean.scan_drive import Pictures
    from vlmt_cli.clean.scan_report import ScannedFile
    from vlmt_cli.clean.verdicts import Verdicts
    from vlmt_cli.mixtures.batch import Source
    from vlmt_cli.mixtures.rules import Rules


def scan_sources(
    sources: "Sequence[Source]",
    index: "ScanIndex",
    rules: "Rules",
    source: str | None,
    spans: "dict[Source, NDArray[np.int64]] | None" = None,
    pictures: "Pictures | None" = None,
    verdicts: "Verdicts | None" = None,
) -> "tuple[list[ScannedFile], Tally, pa.Table]":
    """Pass every file over the index.

    Args:
        sources: the files.
        index: to look in.
        rules: of the user, for names in private folders.
        source: of names whose form and folders say none.
        spans: where given, it is filled with where the records of each file stand that is faster to write so.
        pictures: how pictures are compared, too.
        verdicts: of a person, on pictures that look alike.

    Returns:
        The files, what they have, and rows of ``HITS`` with the files' names, borderline ones among them.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from vlmt_cli.clean.scan import BORDERLINE_HIT, Tally, all_hits
    from vlmt_cli.clean.scan_drive import Scanner
    from vlmt_cli.clean.scan_report import ScannedFile
    from vlmt_cli.clean.verdicts import settled
    from vlmt_cli.commands.show import progress

    tally, scanned, parts = Tally(), [], []
    sizes = [each.path.stat().st_size if each.path.is_file() else 0 for each in sources]
    with progress("Scanning", size=True) as update, Scanner(index, rules, source, pictures) as scanner:
        for number, each in enumerate(sources):
            update(each.path.name, sum(sizes[:number]), sum(sizes))
            of_file, spans_of_file, records, hit = [], [], 0, set()
            for part in scanner.scan(each, spans is not None):
                tally.add(part.tally)
                records += part.records
                if part.spans is not None:
                    spans_of_file.append(part.spans)
                if len(part.hits):
                    hits = settled(part.hits, verdicts)
                    is_hit = pc.not_equal(hits["how"], BORDERLINE_HIT)
                    hit |= set(hits["record"].filter(is_hit).to_pylist())
                    of_file.append(hits.set_column(0, "file", pa.array([each.name] * len(hits), pa.string())))
            parts += of_file
            if spans is not None and spans_of_file:
                spans[each] = np.concatenate(spans_of_file)
            scanned.append(
                ScannedFile(
                    path=each.name, form=each.form, sampling=each.sampling, records=records, hit_records=len(hit)
                )
            )
    return scanned, tally, all_hits(parts)
