"""Hashes by which a benchmark's questions, expressions and captions are recognised without being readable.

The normal form of a text: Unicode's NFKC, small letters, and every run of characters that are neither letters nor
digits becomes one space, none at either end. ``"<image>\\nWhat colour is it?"`` and ``"What colour is it"`` are the
same: tags in angle brackets go first. The hash is BLAKE2b of the normal form in UTF-8 with a digest of 8 bytes, read as
a big-endian number, so that it is the same on every machine. A text of one word has none, unless that is long: "yes" is
in every mixture.
"""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SHORTEST_WORD = 12
"""Characters of a text without a space that is hashed."""
LONGEST_TEXT = 2_000
"""Characters of a text in normal form that is hashed; longer ones, documents, are no question."""


def normal_texts(texts: pa.Array) -> pa.Array:
    """Bring N texts into their normal form; null where nothing, or too much, is left."""
    plain = pc.replace_substring_regex(texts.cast(pa.string()), r"<[A-Za-z/|_][^<>]{0,40}>", " ")
    plain = pc.utf8_lower(pc.utf8_normalize(plain, form="NFKC"))
    plain = pc.utf8_trim(pc.replace_substring_regex(plain, r"[^\pL\pN]+", " "), " ")
    length = pc.utf8_length(plain)
    says = pc.or_(pc.match_substring(plain, " "), pc.greater_equal(length, SHORTEST_WORD))
    return pc.if_else(pc.and_(says, pc.less_equal(length, LONGEST_TEXT)), plain, None)


def hash_texts(texts: pa.Array) -> pa.Array:
    """Return the hashes of N texts, uint64; null where a text has none."""
    encoded = normal_texts(texts).dictionary_encode()
    hashes = [
        int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") for text in encoded.dictionary.to_pylist()
    ]
    return pa.array(hashes, pa.uint64()).take(encoded.indices)


def hash_parts(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Hash what is said in N texts: each as a whole, and each of its lines.

    People put prompts around a question: ``"<image>\\nIs it red?\\nAnswer with a single word."``.

    Returns:
        H rows, numbers of texts, and H hashes.
    """
    texts = texts.cast(pa.string())
    lines = pc.split_pattern(texts.fill_null(""), "\n")
    rows = pa.concat_arrays([pa.array(np.arange(len(texts))), pc.list_parent_indices(lines)])
    hashes = hash_texts(pa.concat_arrays([texts, lines.flatten()]))
    known = pc.is_valid(hashes)
    return rows.filter(known).to_numpy(), hashes.filter(known).to_numpy()
