"""No update reads what is on its device: it runs on tensors without numbers, with the padded rows of a GPU."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from training.small_runs import make_recipe

from vlmt_cli.evaluation.setup import make_reader
from vlmt_cli.tasks.load import answers_of
from vlmt_cli.tasks.process import ALONE
from vlmt_cli.tasks.tables import read_columns
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer
from vlmt_cli.training.loop import Loop
from vlmt_cli.training.loop_state import first_state
from vlmt_cli.training.loop_task import load_splits, make_loop_task
from vlmt_cli.training.optimizer import make_optimizer
from vlmt_cli.training.plan import make_plan
from vlmt_cli.training.start import heads_of, make_start


def without_numbers(mode, batch):
    """Turn what a batch brings to a device into tensors of its shapes."""
    fake = batch._each(mode.from_tensor)
    if hasattr(batch, "shares"):  # which are told by the CPU
        return replace(fake, shares={name: float(share) for name, share in batch.shares.items()})
    features, detected = mode.from_tensor(batch.features_BVF), mode.from_tensor(batch.detected_B)
    return replace(fake, features_BVF=features, detected_B=detected)


@pytest.mark.parametrize(
    ("kind", "tasks"),
    [
        ("vilbert", "vqa,flickr30k,visual7w,nlvr2"),  # a task of each form of batch
        ("uniter", "flickr30k,visual7w"),
        ("vilbert", None),
    ],
)
def test_no_update_reads_what_is_on_its_device(kind, tasks, trained_world):
    recipe = make_recipe("all-tasks" if tasks else "pretrain", tasks, limit=40, clip=1.0)
    recipe = recipe.overridden([f"model.trunk={kind}"])
    texts = read_columns(trained_world / "examples" / "vqa" / "train.parquet", ["text"])["text"].to_pylist()
    tokenizer = word_tokenizer(iter(texts))
    encoder, reader = TextEncoder(tokenizer), make_reader(recipe, trained_world)
    splits = load_splits(trained_world, recipe, encoder, reader, False)
    answers = {"vqa": answers_of(trained_world, "vqa")} if "vqa" in heads_of(recipe) else {}
    vocabulary = encoder.tokenizer.get_vocab_size()
    own = make_start(recipe, None, reader.store.meta, vocabulary, answers, tokenizer, 0)[0].model.to("meta")
    own.trunk.packed = False  # as on a GPU
    plan = make_plan(recipe, {task: len(split.train) for task, split in splits.items()})
    mode, fabric = FakeTensorMode(allow_non_fake_inputs=True), Fabric(accelerator="cpu")

    def memory():
        return torch.empty(1 << 20, dtype=torch.float16)

    here = (recipe, encoder, reader, ALONE, 0, memory)
    loop_tasks = {task: make_loop_task(task, plan.tasks[task], splits[task], *here) for task in recipe.tasks}
    made = {task: [without_numbers(mode, part) for part in each.make(0)] for task, each in loop_tasks.items()}
    with mode:
        model = fabric.setup_module(own.to_empty(device="cpu"), move_to_device=False)
        if recipe.pretrains:
            model.mark_forward_method("pretrain")
        optimizer = fabric.setup_optimizers(make_optimizer(own, recipe.training, plan.learning_rate, plan.heads))
        state, nothing = first_state(recipe.tasks, recipe.training), lambda *_: None
        loop = Loop(
            fabric, model, optimizer, loop_tasks, plan, recipe.training, state, 0, nothing, nothing, nothing,
            lambda: False,
        )  # fmt: skip
        loop._waits = False
        for task, batch in made.items():
            loop._update(task, 1, SimpleNamespace(number=0, take=lambda batch=batch: batch))
        assert len(loop._unsettled) == len(recipe.tasks)
        with pytest.raises(DataDependentOutputException):  # so would an update have ended
            loop._settle()
