"""The authors' weights as a checkpoint, and back.

Their files come without the answers of their classifiers, without the tokenizer, and without the config: all three
are asked for. What they hold and nothing reads is kept, so that export gives every tensor back, bit for bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import atomic, write_text
from vlmt_cli.base.pickles import read_pickle
from vlmt_cli.datasets.table import LABELS
from vlmt_cli.features.tensor_files import check_finite, only_tensors, unwrapped
from vlmt_cli.runs.checkpoint import Checkpoint, parse_model_config
from vlmt_cli.runs.lineage import Beginning, Lineage, Stage, by_module, to_json
from vlmt_cli.runs.tensors import compare_tensors, file_hash, fitting, make_model, on_cpu, shapes_of
from vlmt_cli.tasks.config import ANSWERS, HEADS, ModelConfig
from vlmt_cli.trunks.authors import NAMES, TIED, authors_shapes, from_authors, tidy, to_authors, unread_shapes
from vlmt_cli.trunks.authors_config import TASK_TOKENS, config_from_authors, config_from_shapes, config_to_authors
from vlmt_cli.trunks.config import ViLBERTConfig, parse_config

ANSWER_FILES = {"vqa": "VQA's trainval_label2ans.pkl", "gqa": "GQA's trainval_label2ans.pkl"}
WORD = "bert.embeddings.word_embeddings.weight"
TASK_EMBEDDING = "bert.embeddings.task_embeddings.weight"


def authors_state(content: Any, path: Path) -> dict[str, Tensor]:
    """Take the state dict out of what a file of theirs holds: itself, or a training checkpoint around it.

    Raises:
        DataError: there is none, or its word embedding and the decoder that is tied to it differ.
    """
    state = tidy(only_tensors(unwrapped(content), path))
    if any(name.startswith("trunk.") for name in state):
        raise UsageError("these are not the authors' tensors but ours", where=path, todo="give the whole run folder")
    word, decoder = state.get(WORD), state.get(TIED[1])
    if word is not None and decoder is not None and not torch.equal(word, decoder):
        raise DataError(f"{TIED[1]} is tied to the word embedding, and differs from it", where=path)
    return state


def read_config(values: Any, state: Mapping[str, Tensor], where: Path, partial: bool) -> ModelConfig:
    """Tell the config of the authors' weights.

    Args:
        values: what a config file holds, of the authors' keys or of ours; None when there is none.
        state: their state dict, which tells which heads there are, and the number of answers.
        where: the config file, or the weights when there is none.
        partial: whether some of the six heads may be absent; otherwise they have all or none.

    Raises:
        UsageError: the config is not possible or not supported, or cannot be told from the weights.
    """
    if values is None:
        trunk = config_from_shapes({name: tensor.shape for name, tensor in state.items()}, where)
    elif not isinstance(values, dict):
        raise UsageError("holds no keys and values", where=where)
    elif "trunk" in values:
        return parse_model_config(values, where, UsageError)
    elif "text" in values:
        trunk = parse_config(values, where)
    else:
        trunk = config_from_authors({"task_specific_tokens": TASK_EMBEDDING in state, **values}, where)
    heads = tuple(head for head in HEADS if any(name.startswith(_prefixes(head)) for name in state))
    answers = {}
    for head, size in ANSWERS.items():
        bias = state.get(f"{NAMES[f'heads.{head}.outer']}.bias")
        answers[head] = len(bias) if bias is not None and bias.dim() == 1 and len(bias) else size
    return ModelConfig(
        trunk=trunk,
        heads=heads if partial or not heads else HEADS,
        pretraining=not heads and any(name.startswith("cls.") for name in state),
        answers=answers,
        entailment_head="linear",
        verification_loss="binary",
    )


def read_answers(paths: Mapping[str, Path], config: ModelConfig, partial: bool = False) -> dict[str, list[str]]:
    """Read the answers of the classifiers of a config, each from the file that its head names.

    Args:
        paths: a pickle of a list of strings (``trainval_label2ans.pkl``), or a ``.json`` list, by head.
        config: the model's.
        partial: whether answers may be absent.

    Raises:
        UsageError: a file is not given, or is another model's.
        DataError: a file is missing, damaged, or no list of strings.
    """
    labels: dict[str, list[str]] = {}
    for head, path in paths.items():
        if head not in ANSWER_FILES or head not in config.heads:
            heads = [head for head in ANSWER_FILES if head in config.heads]
            raise UsageError(f"the model has no answers for {head!r}", todo=f"it has for {', '.join(heads) or 'none'}")
        labels[head] = _read_answers(path)
        if len(labels[head]) != config.answers[head]:
            what = f"{len(labels[head]):,} answers, and the weights' {head} classifier has {config.answers[head]:,}"
            raise UsageError(what, where=path, todo=f"give {ANSWER_FILES[head]} of these weights")
    for head, file in ANSWER_FILES.items():
        if head in config.heads and head not in labels and not partial:
            what = f"the weights have a classifier of {config.answers[head]:,} {head} answers, and do not say which"
            raise UsageError(what, todo=f"give {file}: --answers {head}=FILE")
    return labels


def import_weights(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    path: Path,
    answers: Mapping[str, list[str]],
    tokenizer: str | None,
    partial: bool = False,
) -> Checkpoint:
    """Make a checkpoint of the authors' weights.

    Args:
        state: their state dict, as ``authors_state`` gives it.
        config: the model's.
        path: the file, for errors and for lineage.
        answers: of its classifiers, by head.
        tokenizer: the text of a ``tokenizer.json``.
        partial: whether to load what fits; the checkpoint's ``misfits`` then says what did not.

    Raises:
        DataError: tensors are missing, unexpected or misshapen, or hold weights that are NaN or infinite.
        UsageError: the config has a head that the authors' code does not.
    """
    trunk = _check_form(config)
    ours = shapes_of(config).state_dict()
    needed = authors_shapes(ours)
    optional = {name: shape for name, shape in complete_shapes(config).items() if name not in needed}
    if not trunk.text_placement:  # without co-attention their code makes its layers and leaves them alone
        optional |= {name: tuple(state[name].shape) for name in state if name.startswith("bert.encoder.c_layer.")}
    misfits = compare_tensors(needed, state, optional)
    if not partial:
        misfits.refuse(path)
    fit = fitting(misfits, state)
    check_finite(fit, path)
    tensors, _, _ = from_authors(ours, fit)
    unread = {name: fit[name] for name in optional if name in fit and name != TIED[1]}
    labels = {head: names for head, names in LABELS.items() if head in config.heads} | dict(answers)
    beginning = Beginning(
        source=path.name,
        taken=by_module(tensors, ours),
        new=by_module([name for name in ours if name not in tensors], ours),
        left_behind=by_module([name for name in state if name not in fit], state),
    )
    # Whatever is trained on top of them, their own training images stay unknown.
    stage = Stage(name=path.name, beginning=beginning)
    lineage = Lineage(stages=(stage,), source=f"{path.name} (sha256 {file_hash(path)})")
    return Checkpoint(make_model(config, tensors), labels, tokenizer, lineage, unread, misfits=misfits)


def export_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return a checkpoint's weights in the authors' form.

    What no task reads is there as it came; where it never was, it is zero. A head that the model does not have is
    left out.

    Raises:
        UsageError: the model has a head that the authors' code does not.
    """
    config = checkpoint.config
    _check_form(config)
    state = to_authors(checkpoint.model.state_dict())
    state[TIED[1]] = checkpoint.model.state_dict()[TIED[0]]
    state |= {name: tensor for name, tensor in checkpoint.unread.items() if name not in state}
    filling = complete_shapes(config).items()
    return state | {name: torch.zeros(shape) for name, shape in filling if name not in state}


def save_authors(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint's weights as the authors' ``.bin``, and their config beside it as ``.bin.json``."""
    tensors = on_cpu(export_weights(checkpoint))
    with atomic(path) as temporary, temporary.open("wb") as file:
        torch.save(tensors, file)
    write_text(path.with_name(f"{path.name}.json"), to_json(config_to_authors(_check_form(checkpoint.config))))


def complete_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors that the authors' file of such a model holds, by their names."""
    whole = authors_shapes(shapes_of(config.model_copy(update={"pretraining": True})).state_dict())
    trunk = _check_form(config)
    word = (trunk.vocabulary, trunk.text.width)
    return whole | {TIED[1]: word} | unread_shapes(trunk, bool(config.heads))


@dataclass(frozen=True)
class Parameters:
    """How many numbers a model has.

    Attributes:
        authors_form: in their form, where nothing is left out; the tied decoder counts once. Of another trunk than
            ViLBERT, all with pre-training heads.
        live: those that do something for a task: not their dead projections, nor the pre-training heads.
    """

    authors_form: int
    live: int


def count_parameters(config: ModelConfig) -> Parameters:
    """Count a model's parameters, from its config alone."""
    model = shapes_of(config.model_copy(update={"pretraining": True}))
    total = sum(parameter.numel() for parameter in model.parameters())
    assert model.pretraining is not None
    trunk, unread = config.trunk, 0
    if isinstance(trunk, ViLBERTConfig):
        unread = sum(math.prod(shape) for shape in unread_shapes(trunk, bool(config.heads)).values())
    return Parameters(total + unread, total - sum(parameter.numel() for parameter in model.pretraining.parameters()))


def _check_form(config: ModelConfig) -> ViLBERTConfig:
    if not isinstance(config.trunk, ViLBERTConfig):
        what = f"the trunk is {config.trunk.kind}, and the authors' code has ViLBERT alone"
        raise UsageError(what, todo="write a run folder or a .pt")
    if "snli_ve" in config.heads and config.entailment_head != "linear":
        what = f"entailment_head is {config.entailment_head!r}, and the authors' SNLI-VE head is one linear layer"
        raise UsageError(what, todo="only a model with entailment_head linear goes into their form and out of it")
    if config.trunk.task_tokens not in (0, TASK_TOKENS):
        what = f"the model has {config.trunk.task_tokens} task tokens, and the authors' code has {TASK_TOKENS} or none"
        raise UsageError(what, todo="their form has no place for this model")
    return config.trunk


def _prefixes(head: str) -> tuple[str, ...]:
    """The beginnings of the authors' names of a head's tensors."""
    ours = f"heads.{head}"
    return tuple(
        f"{authors_name}." for name, authors_name in NAMES.items() if name == ours or name.startswith(f"{ours}.")
    )


def _read_answers(path: Path) -> list[str]:
    if path.suffix == ".json":
        try:
            answers = read_json(path)
        except FileNotFoundError as error:
            raise DataError("there is no such file", where=path) from error
    else:
        answers = read_pickle(path)
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise DataError("is not a list of answers", where=path, todo="give a trainval_label2ans.pkl or a .json list")
    return answers
