"""Which records of a file a list of mixtures lets training see: all are scanned, and some of them perhaps never seen.

OneVision   first:10%  first:5000  end:10%     the first or the last records, a part rounded up
            random:10%                         drawn at random
InternVL    x0.5  x0                           the first half, nothing; x2 is every record twice
Qwen        %50                                drawn at random; %0 is nothing
"""

import math
import re

_STRATEGY = re.compile(r"(first|end|random):\s*(\d+)\s*(%?)", re.ASCII)
_REPEATED = re.compile(r"x(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_PERCENT = re.compile(r"%(\d+)", re.ASCII)


def seen_records(sampling: str | None, records: int) -> range | None:
    """Return the numbers of the records that training sees; None where they are drawn, or nobody can say.

    Args:
        sampling: as ``Source.sampling`` has it.
        records: of the file.
    """
    if sampling is None:
        return range(records)
    if match := _STRATEGY.fullmatch(sampling.strip()):
        number = math.ceil(int(match[2]) * records / 100) if match[3] else int(match[2])
        if number >= records:
            return range(records)
        if match[1] == "first":
            return range(number)
        if match[1] == "end":  # whose 0 is all, as Python's [-0:] is
            return range(records - number if number else 0, records)
        return None if number else range(0)
    if match := _REPEATED.fullmatch(sampling):
        return range(min(records, int(records * float(match[1]))))
    if match := _PERCENT.fullmatch(sampling):
        return range(records) if int(match[1]) >= 100 else None if int(match[1]) else range(0)
    return None
