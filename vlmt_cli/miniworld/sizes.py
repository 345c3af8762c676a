"""How large the synthetic world is: training examples a dataset, in the proportions of the paper's table 8."""

from dataclasses import dataclass, fields

LEAST = {"coco": 150, "vg_qa": 300, "gqa": 150, "flickr30k": 100}
LEAST_OF_OTHERS = 15
"""The smallest sizes: with less there are too few images to share."""


@dataclass(frozen=True)
class Sizes:
    """Training examples (captions, expressions, questions, pairs, games) of each dataset.

    The defaults are the paper's table 8, column "full train", at 1/200; GuessWhat and NLVR2, of which too little would
    be left to learn anything, are at 1/50. What a dataset holds out (validation and test) has at least ``heldout``
    examples, however small its training set is.

    Raises:
        ValueError: a size is not no whole number or too small, or there are too few COCO, Visual Genome
            or Flickr30k images for the datasets that live on them.
    """

    vqa: int = 3_275
    vg_qa: int = 7_190
    gqa: int = 5_360
    coco: int = 2_835
    flickr30k: int = 725
    refcoco: int = 603
    refcoco_plus: int = 601
    refcocog: int = 403
    visual7w: int = 469
    guesswhat: int = 2_264
    nlvr2: int = 1_728
    snli_ve: int = 2_648
    conceptual_captions: int = 1_000
    heldout: int = 150

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = LEAST.get(field.name, LEAST_OF_OTHERS)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"Sizes.{field.name} must be a whole number of at least {least}, not {value!r}")
        for name, host, most in (
            # How many examples the images of the host can carry without repeating themselves.
            ("vqa", "coco", 2.5),
            ("refcoco", "coco", 1.0),
            ("refcoco_plus", "coco", 1.0),
            ("refcocog", "coco", 0.75),
            ("guesswhat", "coco", 2.0),
            ("gqa", "vg_qa", 1.5),
            ("visual7w", "vg_qa", 0.2),
            ("snli_ve", "flickr30k", 5.0),
        ):
            if getattr(self, name) > most * getattr(self, host) + self.heldout:
                raise ValueError(
                    f"Sizes.{name} = {getattr(self, name)} is more than the images of {host} = "
                    f"{getattr(self, host)} can carry; make {host} larger"
                )

    def scaled(self, factor: float) -> "Sizes":
        """Return the same proportions at ``factor`` of the size, for tests; what is held out shrinks too."""
        if not 0 < factor < float("inf"):
            raise ValueError(f"a world cannot be scaled by {factor!r}; give a positive number")
        return Sizes(
            **{
                field.name: max(LEAST.get(field.name, LEAST_OF_OTHERS), round(getattr(self, field.name) * factor))
                for field in fields(self)
            }
        )
