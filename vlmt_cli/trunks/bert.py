"""Initial weights: the text stream from BERT, everything else as the config initialises it (section 3.1).

BERT's names are those that the authors kept for their text stream. Its pooler and its next-sentence classifier have
no counterpart here, and its layers do not initialise the feed-forwards of co-attention.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from logging import ERROR
from typing import Any

import torch
from torch import Tensor

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.hub import is_local
from vlmt_cli.trunks.authors import authors_names
from vlmt_cli.trunks.config import ViLBERTConfig
from vlmt_cli.trunks.pretraining import PretrainingHeads

BERT = "bert-base-uncased"
FROM_BERT = ("trunk.text_embedding.", "trunk.text_layers.", "pretraining.word_")
TASK = "trunk.text_embedding.task."
# Their word decoder is the word embedding, and its bias is there under two names.
TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}


@dataclass(frozen=True)
class LoadReport:
    """Where initial weights came from; our names are those of a whole model, ``trunk.`` and ``pretraining.``.

    Attributes:
        source: hub id or folder.
        loaded: our tensors, each with the names of theirs that it is made of.
        random: our tensors that stayed as the config initialises them.
        unused: their tensors that found no place.
    """

    source: str
    loaded: dict[str, list[str]]
    random: list[str]
    unused: list[str]

    def rows(self) -> list[tuple[str, str, int]]:
        """Return a part of the model, where it came from, and how many tensors that were, in the model's order."""
        counts: dict[tuple[str, str], int] = {}
        for names, source in ((self.loaded, self.source), (self.random, "random")):
            for name in names:
                part = ".".join(name.split(".")[:2])
                counts[part, source] = counts.get((part, source), 0) + 1
        unused = [("not used", self.source, len(self.unused))] if self.unused else []
        return [(part, source, count) for (part, source), count in counts.items()] + unused

    def __str__(self) -> str:
        """Lay the rows out as a table."""
        rows = [("part", "from", "tensors"), *((part, source, str(count)) for part, source, count in self.rows())]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)


def load_bert(trunk: Any, heads: PretrainingHeads | None = None, source: str = BERT) -> LoadReport:
    """Fill text embeddings, text layers and the word head from a BERT.

    Args:
        trunk: any; keeps its task tokens, and what it has beyond a BERT.
        heads: their word head is filled where the BERT has one.
        source: hub id, or a folder that transformers wrote.

    Raises:
        UsageError: the BERT is of other sizes than the text stream, or nothing of the trunk is of a BERT's form.
        DataError: there is no such BERT, or it cannot be read.
    """
    own = trunk.config
    if not isinstance(own, ViLBERTConfig) and not trunk.in_bert:
        raise UsageError(f"{own.kind} takes no weights from a BERT", todo="draw them with --set model.bert=null")
    config, weights = _read(source)
    text = own.text if isinstance(own, ViLBERTConfig) else own
    for key, value in (("num_attention_heads", text.heads), ("hidden_act", "gelu")):
        if getattr(config, key) != value:
            problem = f"{key} is {getattr(config, key)!r}, and the text stream's is {value!r}"
            raise UsageError(problem, where=source, todo="choose another BERT or another config")
    ours = {f"trunk.{name}": tensor for name, tensor in trunk.state_dict(keep_vars=True).items()}
    if heads is not None:
        ours |= {f"pretraining.{name}": tensor for name, tensor in heads.state_dict(keep_vars=True).items()}
    wanted = _wanted(trunk, ours, weights)
    for name, parts in wanted.items():
        needed = [ours[name].shape[0] // len(parts), *ours[name].shape[1:]]
        for part in parts:
            problem = f"has {part} of shape {list(weights[part].shape)}" if part in weights else f"has no {part}"
            if part not in weights or list(weights[part].shape) != needed:
                what = f"{problem}, and the model needs {needed}"
                todo = "choose a BERT of the model's size, or a model of this BERT's"
                raise UsageError(what, where=source, todo=todo)
    with torch.no_grad():
        for name, parts in wanted.items():
            ours[name].copy_(torch.cat([weights[part] for part in parts]))
    used = {part for parts in wanted.values() for part in parts}
    random = [name for name in ours if name not in wanted]
    return LoadReport(source, wanted, random, sorted(weights.keys() - used - TIED))


def _wanted(trunk: Any, ours: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return which of our tensors a BERT fills, each with the names of the BERT's that it is made of."""
    wanted: dict[str, list[str]] = {}
    for name in ours:
        beginning = next((own for own in trunk.in_bert if name.startswith(f"trunk.{own}")), None)
        if beginning is not None:
            part = f"{trunk.in_bert[beginning]}{name.removeprefix(f'trunk.{beginning}')}"
            # What a BERT's layers lack is missed; other parts are the trunk's own, and a BERT may have no pooler.
            if part in weights or part.startswith("bert.encoder."):
                wanted[name] = [part]
        elif name.startswith(TASK) or (name.startswith(FROM_BERT[-1]) and "cls.predictions.bias" not in weights):
            continue
        elif name.startswith(FROM_BERT):
            wanted[name] = authors_names(name)
    return wanted


def _read(source: str) -> tuple[Any, dict[str, Tensor]]:
    """Read a BERT's configuration, and the tensors that it really has."""
    from transformers import AutoConfig, BertForPreTraining
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)  # it warns of what the report says
    try:
        local = is_local(source, "config.json")
        config = AutoConfig.from_pretrained(source, local_files_only=local)
        if config.model_type != "bert":
            raise UsageError(f"is a {config.model_type}, not a BERT", where=source, todo=f"take {BERT}")
        loaded: Any = BertForPreTraining.from_pretrained(source, output_loading_info=True, local_files_only=local)
    except UsageError:
        raise
    except Exception as error:  # transformers, the hub client and safetensors each have their own
        message = " ".join(str(error).split())[:200]
        todo = "give a hub id that can be reached, or a folder that transformers wrote"
        raise DataError(f"no BERT can be read ({message})", where=source, todo=todo) from error
    finally:
        logging.set_verbosity(verbosity)
    bert, info = loaded
    absent = set(info["missing_keys"])
    return config, {name: tensor for name, tensor in bert.state_dict().items() if name not in absent}
