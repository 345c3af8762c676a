"""The sections of a recipe: ``model``, ``features``, ``masking`` and ``training``, with a line on each key."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from vlmt_cli.base.schema import nearest
from vlmt_cli.datasets.table import GROUPS, TASKS
from vlmt_cli.trunks.config import PRESETS
from vlmt_cli.trunks.table import TRUNKS

ORDERS = {"round-robin": [], "curriculum": ["G3"], "anti-curriculum": ["G1"]}
"""What older recipes call ``order``, as ``curriculum``."""
Share = Annotated[float, Field(ge=0, le=1)]
HEADS = tuple(dict.fromkeys(task.head for task in TASKS.values()))
DEFAULTS = {
    "trunk": "vilbert",
    "preset": "base",
    "bert": "bert-base-uncased",
    "tokenizer": "bert-base-uncased",
    "task_token": "dataset",
    "entailment_head": "mlp",
    "verification_loss": "softmax",
}
"""What ``auto`` means in ``model`` without a checkpoint."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelChoices(Section):
    """The model. ``auto`` takes what the checkpoint has that a run starts from; without a checkpoint, the default.

    A value other than ``auto`` that contradicts the checkpoint is an error (``training/contradictions.py``).
    """

    trunk: str = "auto"
    """The shared encoder: ``vilbert``, ``lxmert``, ``visualbert`` or ``uniter``; the default is ``vilbert``."""
    preset: Literal[("auto", *PRESETS)] = "auto"  # type: ignore[valid-type]
    """Sizes of the trunk; the default is ``base``."""
    changes: dict[str, Any] = {}
    """Keys of the preset to change, such as ``co_heads``."""
    bert: str | None = "auto"
    """Initial weights of the text stream, hub id or folder; null draws them. The default is ``bert-base-uncased``."""
    tokenizer: str | None = "auto"
    """Hub id, folder, ``tokenizer.json`` or ``vocab.txt``; the default is ``bert-base-uncased``. Null takes the words
    of the training texts, where no checkpoint brings a tokenizer."""
    task_token: Literal["auto", "dataset", "group", "none"] = "auto"
    """Table 6, rows 1 to 3: a task token per dataset (the default), per task group ("per head, 4 total"), or none."""
    entailment_head: Literal["auto", "mlp", "linear"] = "auto"
    """Section 3.2 (the default), or the authors' single layer."""
    verification_loss: Literal["auto", "softmax", "binary"] = "auto"
    """Equation 4 (the default), or the authors' binary cross-entropy per class."""
    new_heads: tuple[Literal[HEADS], ...] = ()  # type: ignore[valid-type]
    """Heads to initialise at random although the checkpoint has them, for other answers or another form."""

    @field_validator("trunk")
    @classmethod
    def _is_there(cls, trunk: str) -> str:
        if trunk not in ("auto", *TRUNKS):
            raise ValueError(f"there is no trunk {trunk!r}; {nearest(trunk, ('auto', *TRUNKS))}")
        return trunk

    def settled(self, **checkpoint: str) -> "ModelChoices":
        """Return the choices with ``checkpoint``'s value, else the default, in place of each ``auto``."""
        values = {**DEFAULTS, **checkpoint}
        return self.model_copy(update={key: value for key, value in values.items() if getattr(self, key) == "auto"})


class FeatureChoices(Section):
    """Region features."""

    store: str | None = None
    """The store; null takes the one in ``<data>/features``."""
    candidates: str | dict[str, str] | None = None
    """Store of the boxes that examples choose among, or one a task; null looks beside the other store."""
    regions: PositiveInt = 100
    """Detected regions an image, at most."""


class MaskingChoices(Section):
    """Pre-training (sections 3.1 and 8.2)."""

    share: Share = 0.15
    """Of words, and of regions, that are masked."""
    overlap: Share = 0.4
    """IoU above which a region is masked along with a masked one."""
    neighbours: bool = True
    """Whether overlapping regions are masked along; the authors' code never did."""
    aligned_only: bool = True
    """Whether the masked losses leave misaligned pairs out."""


class TrainingChoices(Section):
    """How to train (sections 3.3, 8.4 and 8.5)."""

    iterations: PositiveInt | None = None
    """Multi-task iterations; null takes ``epochs`` of the task that needs most."""
    epochs: PositiveFloat = 20
    """Of each task, where ``iterations`` says nothing."""
    warmup: Share = 0.1
    """Eta: the share of all iterations over which the learning rate rises; it falls linearly after."""
    batch_size: PositiveInt | None = None
    """Of all tasks; null takes table 8's."""
    learning_rate: PositiveFloat | None = None
    """Of all tasks; null takes table 8's: each head at its task's own rate, the shared trunk at the minimum, with the
    losses scaled (section 3.3)."""
    learning_rates: dict[str, PositiveFloat] = {}
    """Of single tasks, before ``learning_rate`` and table 8: ``{flickr30k_entities: 2.0e-6}``."""
    head_learning_rate: PositiveFloat | None = None
    """Of the heads on pooled states, with the head on regions at the trunk's rate (the authors': 1e-4); null takes each
    task's own rate."""
    weight_decay: NonNegativeFloat = 0.01
    betas: tuple[Share, Share] = (0.9, 0.999)
    epsilon: PositiveFloat = 1e-6
    clip: PositiveFloat | None = None
    """Largest norm of a gradient."""
    accumulate: PositiveInt = 1
    """Parts into which a batch is cut, for small memory; the update is that of the whole batch."""
    length_window: PositiveInt = 32
    """Batches among which texts of like lengths come together, so that little is padding; 1 draws at random."""
    checkpointing: bool = False
    """Whether a layer's activations are computed again in the backward pass instead of kept, for small memory."""
    freeze: tuple[Literal["text", "vision", "trunk"], ...] = ()
    """What keeps its weights."""
    curriculum: tuple[Literal[tuple(GROUPS)], ...] = ()  # type: ignore[valid-type]
    """Groups that train alone at first, one after another in this order, before all tasks train in round robin."""
    alone: Share | tuple[Share, ...] = 0.2
    """With a curriculum: the share of all iterations in which each of its groups trains alone; or one a group. More
    than ``warmup``, as the first of them would otherwise train alone only while the learning rate still rises."""
    temperature: PositiveFloat | None = None
    """T: each update is of a task drawn with a probability proportional to n^(1/T), n its number of examples; 1 is
    size-proportional. As many draws an iteration as tasks, so that updates equal those of round robin. Null takes the
    tasks in turn."""
    gap: PositiveInt = 4
    """DSG: iterations between two updates of a stopped task; 1 never leaves one out, and is the default where
    ``temperature`` is given."""
    variant: Literal["paper", "authors"] = "paper"
    """DSG: Algorithm 1, or the authors' controller with its cool-down."""
    converged: NonNegativeFloat = 0.001
    """DSG: relative improvement over two evaluations below which a task stops."""
    diverged: NonNegativeFloat = 0.005
    """DSG: relative loss from the best score at which it goes again."""
    limit: PositiveInt | None = None
    """At most so many examples of each task's train and validation split, the first ones, to try a training; null takes
    all."""
    validation_examples: PositiveInt | None = None
    """At most so many examples of each validation split steer DSG; null takes all."""
    evaluate_every: PositiveInt | None = None
    """Iterations between two validations; null takes each task's epoch, as Algorithm 1."""
    stop_when_converged: bool = False
    """Whether training ends as soon as every task has stopped: a single task, when it has converged (section 3.3)."""
    dropout: Share | None = None
    """Of all layers; null takes the model's."""
    save_every: PositiveInt = 1000
    """Iterations between two checkpoints."""
    save_minutes: PositiveFloat | None = 30
    """Minutes after which a checkpoint is written even so; null goes by iterations alone."""
    log_every: PositiveInt = 50
    """Iterations between two lines of metrics."""
    affinity_every: PositiveInt | None = None
    """Iterations between two measurements of how tasks pull at each other; null measures nothing."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """auto is bf16 on a GPU that computes in it, 16 (with a loss scaler) on an older one such as the V100, else 32."""
    compile: bool = False
    """Whether PyTorch compiles the trunk's layers."""
    tensorboard: bool = False
    wandb: bool = False

    @model_validator(mode="before")
    @classmethod
    def _reads_older_keys(cls, values: Any) -> Any:
        """Take one group for a list of one, and keys of older recipes: ``order``, and ``strategy`` where it is DDP."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.pop("strategy", "ddp") != "ddp":
            raise ValueError("there is no key strategy any more: several processes always train with DDP; leave it out")
        if isinstance(values.get("curriculum"), str):
            values["curriculum"] = values["curriculum"].replace(",", " ").split()
        if "order" in values:
            order = values.pop("order")
            if not isinstance(order, str) or order not in ORDERS:
                raise ValueError(f"there is no order {order!r}; give training.curriculum, such as [G3]")
            if values.get("curriculum"):
                raise ValueError("order and curriculum exclude each other; leave order out")
            values["curriculum"] = ORDERS[order]
        return values

    @model_validator(mode="before")
    @classmethod
    def _draws_or_stops(cls, values: Any) -> Any:
        """Leave DSG off where tasks are drawn, unless it is asked for."""
        if isinstance(values, dict) and values.get("temperature") is not None:
            return {"gap": 1} | values
        return values

    @model_validator(mode="after")
    def _has_phases(self) -> "TrainingChoices":
        if self.compile and self.checkpointing:
            raise ValueError("compile and checkpointing exclude each other; leave one of them out")
        groups, alone = self.curriculum, self.alone
        if len(set(groups)) < len(groups):
            raise ValueError(f"curriculum names a group twice: {', '.join(groups)}")
        if isinstance(alone, tuple) and len(alone) != len(groups):
            raise ValueError(f"alone has {len(alone)} shares, and curriculum {len(groups)} groups; give one share each")
        if groups and sum(self.phases) >= 1:
            raise ValueError("alone leaves no iterations for all tasks together; give smaller shares")
        return self

    @property
    def phases(self) -> tuple[float, ...]:
        """The share of all iterations of each group of the curriculum."""
        return self.alone if isinstance(self.alone, tuple) else (self.alone,) * len(self.curriculum)
