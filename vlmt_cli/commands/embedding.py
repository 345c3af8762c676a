"""The network of ``--embed``: loaded when it is needed, and in each process that needs it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vlmt_cli.base.embedder import Embedder, LoadEmbedder
    from vlmt_cli.clean.embeddings import Cosines
    from vlmt_cli.clean.scan_index import ScanIndex

Embed = Annotated[
    str | None,
    typer.Option(
        "--embed",
        metavar="MODEL",
        help="With --images: embed pictures, too, for crops and collages: a TorchScript file such as SSCD's, which is"
        " code and must be trusted, or a DINOv2, DINOv3 or CLIP model of transformers.",
    ),
]


def loader(model: str) -> "LoadEmbedder":
    """Return what loads a network; it can be sent to other processes."""
    return partial(_load, str(Path(model).absolute()) if Path(model).exists() else model)


def _load(model: str) -> "Embedder":
    from vlmt_cli.features.embedding import load_embedder

    return load_embedder(model)


Cosine = Annotated[
    str | None,
    typer.Option(
        metavar="SAME[,JUDGE]",
        help="With --embed: the cosine from which two pictures are the same, and that from which a person must judge;"
        " vlmt index calibrate measures. Else none is taken for the same, and all from 0.75 up are to be judged.",
    ),
]


def with_embeddings(index: "ScanIndex", images: bool, model: str | None, cosine: str | None) -> "ScanIndex":
    """Return an index that compares embeddings, too, where a network is given."""
    from dataclasses import replace

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.clean.embeddings import embedding_index

    if model is None:
        if cosine is not None:
            raise UsageError("--cosine goes with --embed", todo="add --embed")
        return index
    if not images:
        raise UsageError("--embed goes with --images", todo="add --images")
    return replace(index, embeddings=embedding_index(index.index, loader(model), _cosines(cosine)))


def _cosines(text: str | None) -> "Cosines":
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.clean.embeddings import Cosines

    if text is None:
        return Cosines()
    try:
        numbers = [float(each) for each in text.split(",")]
        same, borderline = numbers if len(numbers) == 2 else (*numbers, *numbers)
    except ValueError:
        same, borderline = 0, 0
    if not 0 < borderline <= same <= 1:
        todo = "write one number or two with a comma, above 0, at most 1, the higher first: 0.9,0.75"
        raise UsageError(f"{text!r} are no cosines", todo=todo)
    return Cosines(same, borderline)
