"""Texts as tokens, prepared once: all of a split's token ids in one array.

What a tokenizer made of a split is kept in ``<data>/tokens``, so that 4.4 million texts are tokenised once, not once
a run and process, and mapped from there, so that all processes of a machine hold them once.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import locked
from vlmt_cli.base.words import printable
from vlmt_cli.tasks.mapped import Arrays, map_arrays, name_of, stamp, write_arrays
from vlmt_cli.tasks.tables import read_columns

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_AT_ONCE = 50_000


class TextEncoder:
    """A tokenizer that puts CLS before and SEP after a text, and cuts it to a length.

    Args:
        text: a ``tokenizer.json``.

    Raises:
        DataError: it is not a tokenizer, or has no CLS, SEP or PAD.
    """

    def __init__(self, text: str) -> None:
        from tokenizers import Tokenizer

        self.text = text
        try:
            self.tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library has no error of its own
            raise DataError(
                f"is not a tokenizer ({printable(error)})", where="tokenizer", todo="take BERT's"
            ) from error
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        ids = {token: number for token in SPECIAL if (number := self.tokenizer.token_to_id(token)) is not None}
        if lacking := [token for token in SPECIAL if token not in ids]:
            raise DataError(f"has no token {' or '.join(lacking)}", where="tokenizer", todo="take BERT's")
        self.pad, _, self.cls, self.sep, self.mask = (ids[token] for token in SPECIAL)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the tokenizer."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def encode(self, texts: Sequence[str], longest: int) -> list[list[int]]:
        """Return each text's ids, CLS and SEP included, at most ``longest`` of them."""
        encoded = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[self.cls, *encoding.ids[: longest - 2], self.sep] for encoding in encoded]

    def words(self, ids: Iterable[int]) -> list[str]:
        """Return tokens as people read them."""
        return [self.tokenizer.id_to_token(int(number)) or "?" for number in ids]


@dataclass(frozen=True)
class Tokens:
    """The token ids of N texts, one after another.

    Attributes:
        ids: all of them, int32.
        offsets: where each text begins, (N + 1,).
        pad: what fills a batch up.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    pad: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, (N,)."""
        return np.diff(self.offsets)

    def batch(self, rows: NDArray[np.int64], multiple: int = 1) -> tuple[Tensor, Tensor]:
        """Return the ids of B texts and which places are real, both (B, T), T a multiple of ``multiple``."""
        begins, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        longest = -(-int(lengths.max(initial=1)) // multiple) * multiple
        real = np.arange(longest) < lengths[:, None]
        ids = np.full(real.shape, self.pad, np.int64)
        ids[real] = self.ids[np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())]
        return torch.from_numpy(ids), torch.from_numpy(real)


NO_TOKENS = Tokens(np.empty(0, np.int32), np.zeros(1, np.int64), 0)


def encode_column(texts: pa.Array, encoder: TextEncoder, longest: int) -> Tokens:
    """Tokenise N texts."""
    parts: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for start in range(0, len(texts), _AT_ONCE):
        encoded = encoder.encode(texts[start : start + _AT_ONCE].to_pylist(), longest)
        lengths += map(len, encoded)
        parts.append(np.fromiter(chain.from_iterable(encoded), np.int32))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return Tokens(np.concatenate([np.empty(0, np.int32), *parts]), offsets, encoder.pad)


def tokens_of(table: Path, encoder: TextEncoder, longest: int, cache: Path) -> Tokens:
    """Return the tokens of an example table's texts, from the cache where it has them.

    Args:
        table: the Parquet file, which has a column ``text``.
        encoder: the tokenizer.
        longest: tokens a text, at most.
        cache: the folder of tokens, ``<data>/tokens``.

    Raises:
        DataError: the table is damaged.
    """
    folder = cache / table.parent.name
    path = folder / f"{table.stem}-{name_of(encoder.hash, longest, stamp(table))}.arrow"
    with locked(folder):
        kept = map_arrays(path)
        if kept is None:
            for old in folder.glob(f"{table.stem}-{'[0-9a-f]' * 16}.*"):  # of older versions, too
                old.unlink()
            made = encode_column(read_columns(table, ["text"])["text"].combine_chunks(), encoder, longest)
            write_arrays(path, {"ids": made.ids, "offsets": made.offsets}, {})
            kept = map_arrays(path)
    arrays: Arrays = kept[0] if kept else {"ids": made.ids, "offsets": made.offsets}
    return Tokens(arrays["ids"], arrays["offsets"], encoder.pad)


def word_tokenizer(texts: Iterator[str]) -> str:
    """Make a tokenizer that knows the words of some texts, as a ``tokenizer.json``: for worlds of few words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordLevelTrainer(special_tokens=list(SPECIAL), vocab_size=30_000, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    made: str = tokenizer.to_str()
    return made
