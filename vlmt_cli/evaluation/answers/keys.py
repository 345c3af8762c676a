"""Keys that predictions and rows are joined by, and how they compare: whole columns of text."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

AGREE = 0.95
"""What share of the joined predictions must agree with their rows in what both say."""
NEARLY = 0.5
"""What share of predictions, or of rows where these are fewer, is to be joined."""
_HOW = (
    r"\(?(?:please )?(?:try to )?(?:only |just |strictly |directly |simply )?(?:answer|respond|response|reply"
    r"|(?:select|choose|give) the (?:correct|best) (?:answer|option)|the best answer is|(?:short|brief) answer"
    r"|assistant|(?:give|provide) (?:me )?(?:a|an|the|your) [a-z ]{0,40}(?:answer|response))(?: [^?.!:]*)?[.!:)]*"
    r"|when the provided information is insufficient, respond with ['\"]?unanswerable['\"]?\.?"
)
_HOW_ALONE = (
    r"\(?(?:please )?(?:only |just |strictly )?answer (?:(?:the|this) question )?(?:with )?(?:yes or no"
    r"|(?:(?:using|in|with) )?(?:a|one) (?:single )?word(?: or (?:a )?(?:short )?phrase)?)[.!:)]*|(?:short )?answer:"
)
_ENDINGS = ((rf"([?.!:])\s*(?:(?:{_HOW})\s*)+$", r"\1"), (rf"(?:\s+(?:{_HOW_ALONE}))+$", ""))
"""What VLMEvalKit, lmms-eval and LLaVA put behind a question: a sentence that says how to answer."""


def first_line(texts: pa.Array) -> pa.Array:
    """Return the question in N prompts, in small letters, with single spaces: the first line, less how to answer."""
    if pc.any(pc.match_substring(texts, "<image>"), min_count=0).as_py():
        texts = pc.replace_substring(texts, "<image>", "")
    lines = pc.list_element(pc.split_pattern(pc.utf8_trim_whitespace(texts), "\n", max_splits=1), 0)
    lines = pc.utf8_lower(pc.utf8_trim_whitespace(lines))
    if pc.any(pc.match_substring(lines, "  "), min_count=0).as_py():
        lines = pc.replace_substring_regex(lines, r"\s+", " ")
    tells_how = pc.match_substring_regex(lines, "answer|respon|reply|assistant|the (?:correct|best) option").fill_null(
        False
    )
    if pc.any(tells_how, min_count=0).as_py():
        shorter = lines.filter(tells_how)
        for ending, instead in _ENDINGS:
            shorter = pc.replace_substring_regex(shorter, ending, instead)
        lines = pc.replace_with_mask(lines, tells_how, shorter)
    return lines


def within(same: pa.Array, texts: pa.Array, asked: pa.Array) -> NDArray[np.bool_]:
    """Take texts that differ for agreeing where one has the other in it, as a prompt has the expression."""
    agrees = as_mask(same)
    for number in np.flatnonzero(~agrees).tolist():
        text, question = texts[number].as_py(), asked[number].as_py()
        agrees[number] = text is None or question is None or question in " ".join(text.lower().split())
    return agrees


def as_mask(same: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return a Boolean column as numpy, null as True: nothing is known to differ."""
    same = same.combine_chunks() if isinstance(same, pa.ChunkedArray) else same
    mask: NDArray[np.bool_] = same.fill_null(True).to_numpy(zero_copy_only=False)
    return mask.copy()


def keys_of_all(*columns: pa.Array) -> pa.Array:
    """Make one key of several columns; null where any is."""
    return pc.binary_join_element_wise(*columns, "\x1f")


def without_zeros(ids: pa.Array) -> pa.Array:
    """Return N ids without leading zeros, as strings."""
    return pc.utf8_ltrim(ids.cast(pa.string()), "0")


def numbered(keys: pa.Array) -> pa.Array:
    """Make N keys distinct by how often each has stood there before."""
    codes = keys.dictionary_encode().indices.fill_null(-1).to_numpy()
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    first = np.r_[True, ranked[1:] != ranked[:-1]]
    begin = np.maximum.accumulate(np.where(first, np.arange(len(codes)), 0))
    before = np.empty(len(codes), np.int64)
    before[order] = np.arange(len(codes)) - begin
    return keys_of_all(keys.cast(pa.string()), pa.array(before).cast(pa.string()))


def plain(column: Any) -> Any:
    """Return texts in small letters, without outer blanks."""
    return pc.utf8_lower(pc.utf8_trim_whitespace(column))
