"""``vlmt convert``: weights in and out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json, Weights

if TYPE_CHECKING:
    from vlmt_cli.runs.checkpoint import Checkpoint

BERT = "bert-base-uncased"
NOT_TARGETS = (".safetensors", ".tar", ".pth", ".pkl", ".json")


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="The authors' weights (.bin, .tar, .safetensors), UNITER's (.pt), LXMERT or VisualBERT as transformers"
            " keeps them (folder, hub id), or a checkpoint: run folder, .pt or hub id."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="A run folder to write, NAME.pt, or NAME.bin for the authors' form.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="JSON of the model's sizes, the authors' or ours; not needed for the paper's."),
    ] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option(
            "--answers",
            help="Answers of a classifier: vqa=trainval_label2ans.pkl, gqa=FILE; pickle or JSON. Repeat it for more.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", help=f"vocab.txt, tokenizer.json, a folder or a hub id; {BERT} for the authors' weights."
        ),
    ] = None,
    weights: Weights = "best",
    partial: Annotated[bool, typer.Option("--partial", help="Load tensors that fit, and list the others.")] = False,
    push: Annotated[str | None, typer.Option("--push", help="Upload the run folder to this hub repository.")] = None,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Turn released weights into a checkpoint, and a checkpoint into a folder, one file, or the authors' form.

    Weights load without unpickling, and every tensor must fit.

    Examples:

      vlmt convert multi_task_model.bin runs/12-in-1 --answers vqa=vqa/trainval_label2ans.pkl \\
        --answers gqa=gqa/trainval_label2ans.pkl

      vlmt convert unc-nlp/lxmert-base-uncased runs/lxmert

      vlmt convert runs/12-in-1 12-in-1.pt

      vlmt convert runs/12-in-1 back.bin
    """
    import dataclasses
    import json

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.commands.show import say, stdout, table
    from vlmt_cli.runs.folders import check_checkpoint, find_run

    source = find_run(source, data)
    _check_target(source, target, push)
    check_checkpoint(source, data, "weights (.bin, .tar, .safetensors, .pt)")
    named = _pairs(answers or ())
    if config is not None and not config.exists():
        raise DataError("cannot be read as JSON: there is no such file", where=config)

    from vlmt_cli.runs.authors_weights import count_parameters, save_authors
    from vlmt_cli.runs.best import find_weights
    from vlmt_cli.runs.checkpoint_writer import push_to_hub, save_pretrained, save_single_file

    taken = find_weights(source, weights)
    if taken.kind:
        say(f"{source}: {taken}")
    checkpoint, tensors = _load(taken.source, target, config, named, tokenizer, partial)
    misfits = checkpoint.misfits
    if target.suffix == ".bin":
        save_authors(target, checkpoint)
    elif target.suffix == ".pt":
        save_single_file(target, checkpoint)
    else:
        save_pretrained(target, checkpoint)
    say(f"wrote {target}")
    if push:
        say(f"uploaded {push_to_hub(target, push)}")

    parameters, kind = count_parameters(checkpoint.config), checkpoint.config.trunk.kind
    unread = len(checkpoint.unread)
    read = tensors - unread - len(misfits.unexpected) - len(misfits.misshapen)
    if as_json:
        counts = {"tensors": {"read": read, "unread": unread}, "parameters": dataclasses.asdict(parameters)}
        names = {"source": source, "target": str(target), "heads": checkpoint.config.heads}
        print(json.dumps(names | counts | {"misfits": dataclasses.asdict(misfits)}, indent=2))
        return
    rows = [
        ["tensors read", f"{read:,}"],
        ["unused tensors, kept for export", f"{unread:,}"],
        *[
            [f"{kind} tensors", f"{len(names):,}"]
            for kind, names in dataclasses.asdict(misfits).items()
            if names or partial
        ],
        *[["parameters in the authors' form", f"{parameters.authors_form:,}"]] * (kind == "vilbert"),
        ["parameters that a task uses", f"{parameters.live:,}"],
    ]
    stdout().print(table(["tensors and parameters", "count"], rows, f"{source} -> {target}"))
    if misfits:
        say(str(misfits))


def _load(
    source: str, target: Path, config: Path | None, answers: dict[str, Path], tokenizer: str | None, partial: bool
) -> "tuple[Checkpoint, int]":
    """Load a source of any form; returns it, and how many tensors its file of weights holds."""
    import dataclasses

    from vlmt_cli.base.documents import read_json
    from vlmt_cli.base.errors import DataError, UsageError
    from vlmt_cli.features.tensor_files import read_safetensors
    from vlmt_cli.runs.authors_weights import authors_state, import_weights, read_answers, read_config
    from vlmt_cli.runs.checkpoint import from_content, is_ours, load_checkpoint, without_format
    from vlmt_cli.runs.library_weights import import_folder, import_uniter, is_uniter, library_folder
    from vlmt_cli.runs.tensors import read_torch
    from vlmt_cli.runs.tokenizer import read_tokenizer

    path, content = Path(source), None
    if not path.is_file() and (folder := library_folder(source)) is not None:
        if config is not None:
            raise UsageError("a model of transformers brings its config", where=source, todo="leave --config out")
        return _with_tokenizer(import_folder(folder, source, partial), folder, tokenizer)
    if path.is_file():
        content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    if content is None or is_ours(content):
        if config is not None:
            raise UsageError("a checkpoint brings its config", where=source, todo="leave --config out")
        ours = load_checkpoint(source, partial) if content is None else from_content(content, path, partial)
        changes: dict[str, Any] = {"labels": ours.labels | read_answers(answers, ours.config, partial=True)}
        if tokenizer is not None:
            changes["tokenizer"] = read_tokenizer(tokenizer, ours.config.trunk.vocabulary)
        odd = len(ours.misfits.unexpected) + len(ours.misfits.misshapen)
        taken = len(ours.model.state_dict()) - len(ours.misfits.missing) - len(ours.misfits.misshapen)
        return dataclasses.replace(ours, **changes), taken + odd + len(ours.unread)

    state = authors_state(content, path)
    values = None
    if config is not None:
        try:
            values = without_format(read_json(config), config)
        except FileNotFoundError as error:
            raise DataError("there is no such file", where=config) from error
    if is_uniter(state):
        return _with_tokenizer(import_uniter(state, values, path, partial), None, tokenizer)
    model_config = read_config(values, state, config or path, partial)
    for_authors = target.suffix == ".bin"  # which has no place for answers and tokenizer
    labels = read_answers(answers, model_config, partial or for_authors)
    checkpoint = import_weights(state, model_config, path, labels, None, partial)
    if not for_authors:
        text = read_tokenizer(tokenizer or BERT, model_config.trunk.vocabulary)
        checkpoint = dataclasses.replace(checkpoint, tokenizer=text)
    return checkpoint, len(state)


def _with_tokenizer(checkpoint: "Checkpoint", folder: Path | None, tokenizer: str | None) -> "tuple[Checkpoint, int]":
    """Give a trunk's released weights a tokenizer: the one that is named, the folder's own, or BERT's."""
    import dataclasses

    from vlmt_cli.runs.library_weights import TOKENIZERS
    from vlmt_cli.runs.tokenizer import read_tokenizer

    own = folder is not None and any((folder / name).is_file() for name in TOKENIZERS)
    text = read_tokenizer(tokenizer or (str(folder) if own else BERT), checkpoint.config.trunk.vocabulary)
    misfits = checkpoint.misfits
    read = len(checkpoint.model.state_dict()) - len(misfits.missing)
    count = read + len(misfits.unexpected) + len(checkpoint.unread)
    return dataclasses.replace(checkpoint, tokenizer=text), count


def _pairs(answers: "list[str] | tuple[()]") -> dict[str, Path]:
    from vlmt_cli.base.errors import UsageError

    pairs = {}
    for answer in answers:
        head, equals, path = answer.partition("=")
        if not equals or not head or not path:
            raise UsageError(f"--answers {answer!r} has no head and file", todo="write it as --answers vqa=FILE")
        pairs[head] = Path(path)
    return pairs


def _check_target(source: str, target: Path, push: str | None) -> None:
    """Refuse a target before anything is read."""
    from vlmt_cli.base.errors import UsageError

    if target.suffix in NOT_TARGETS:
        todo = "name a folder, a .pt, or a .bin for the authors' form"
        raise UsageError(f"no checkpoint is written as {target.suffix}", where=target, todo=todo)
    if target.resolve() == Path(source).resolve():
        raise UsageError("source and target are the same", where=target)
    if target.suffix in (".pt", ".bin"):
        if push:
            raise UsageError("only a run folder is uploaded", where=target, todo="give a folder as the target")
        if target.is_dir():
            raise UsageError("is a folder", where=target, todo="name a file that is not there")
    elif target.is_file():
        raise UsageError("is a file", where=target, todo="name a folder, a .pt or a .bin")
    elif any((target / name).exists() for name in ("state.pt", "metrics.jsonl")):
        raise UsageError("holds a training run, which this would break", where=target, todo="name another folder")
