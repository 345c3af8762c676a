"""The tokenizer that belongs to a checkpoint, as the text of a ``tokenizer.json``."""

from pathlib import Path

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.hub import is_local
from vlmt_cli.base.opening import check_file
from vlmt_cli.base.words import printable


def read_tokenizer(source: str, vocabulary: int) -> str:
    """Read a tokenizer.

    Args:
        source: a ``tokenizer.json``, a ``vocab.txt`` (taken as BERT's, uncased), a folder with either, or a hub id.
        vocabulary: how many tokens the model knows; the tokenizer may have fewer.

    Raises:
        DataError: there is none, or it is damaged.
        UsageError: it has more tokens than the model knows.
    """
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    path = Path(source)
    if path.is_dir():
        files = [path / name for name in ("tokenizer.json", "vocab.txt") if (path / name).is_file()]
        if not files:
            raise DataError("holds neither tokenizer.json nor vocab.txt", where=path)
        path = files[0]
    elif not path.is_file():
        path = _download(source)
    check_file(path)
    try:
        if path.suffix == ".txt":
            tokenizer = BertWordPieceTokenizer(str(path), lowercase=True)
        else:
            tokenizer = Tokenizer.from_file(str(path))
        text: str = tokenizer.to_str()
    except BaseException as error:  # the library raises plain Exception, and panics as no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise DataError(f"is not a tokenizer ({printable(error)})", where=path) from error
    if (size := tokenizer.get_vocab_size()) > vocabulary:
        what = f"the tokenizer has {size:,} tokens, and the model knows {vocabulary:,}"
        raise UsageError(what, where=source, todo="give the model's own with --tokenizer")
    return text


def _download(hub_id: str) -> Path:
    from huggingface_hub import hf_hub_download

    if hub_id.endswith((".json", ".txt")):
        raise DataError("there is no such file", where=hub_id)
    try:
        local = is_local(hub_id, "tokenizer.json")
        return Path(hf_hub_download(hub_id, "tokenizer.json", local_files_only=local))
    except Exception as error:  # the hub client, its network client and its validators each have their own
        message = " ".join(str(error).split())[:200]
        todo = "give a vocab.txt, a tokenizer.json, a folder or a hub id with --tokenizer"
        raise DataError(f"no tokenizer was found here or on the hub ({message})", where=hub_id, todo=todo) from error
