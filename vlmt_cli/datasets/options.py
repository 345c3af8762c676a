"""What a user may choose when the official files are turned into examples.

``recipes/data.yaml`` lists every key with its default; ``--set vqa.minval=5000``
overrides one. Of a set that has no official split at most a tenth is held out for
each purpose, so that a part of a dataset still leaves something to train on.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def held_out(wanted: int, questions: int) -> int:
    """Return how many questions to hold out: as many as wanted, but at most a tenth."""
    return min(wanted, questions // 10)


class VqaOptions(_Section):
    """VQA v2."""

    minval: NonNegativeInt = 3000
    """Questions of val2014, the last by id, that are held out for validation; the rest joins train."""
    min_answer_count: PositiveInt = 9
    """An answer is in the vocabulary when it is the right one of so many train and val questions."""
    count_answers: Literal["normalised", "raw"] = "normalised"
    """Whether the annotators' answers are compared after normalisation, or as typed (as the authors did)."""


class VgQaOptions(_Section):
    """Visual Genome QA, which has no official split."""

    test: NonNegativeInt = 5000
    """Questions, the last by id, that are the test set (section 8.4)."""
    val: NonNegativeInt = 5000
    """Questions before them that are held out for validation."""


class GqaOptions(_Section):
    """GQA."""

    minval: NonNegativeInt = 3000
    """Questions of balanced train and val, the last by id, that are held out for validation."""
    vocabulary: PositiveInt = 1533
    """The answer vocabulary holds so many answers, the most frequent ones."""


class RefcocogOptions(_Section):
    """RefCOCOg."""

    split_by: Literal["umd", "google"] = "umd"
    """Whose split: umd has a test set, google has none and shares images between train and val."""


class Flickr30kEntitiesOptions(_Section):
    """Flickr30k Entities."""

    box: Literal["union", "first"] = "union"
    """The box of a phrase that has several: their union, or the first (as the authors did)."""


class CleanOptions(_Section):
    """Union removal."""

    test_files: Literal["all", "paper"] = "all"
    """Which test sets join the union: every official test file that is there, or those that the paper has."""


class NearDuplicateOptions(_Section):
    """Comparing image files; distances are bits of a 256-bit hash."""

    same: NonNegativeInt = 24
    """Two files that differ in so many bits at most are the same image."""
    borderline: NonNegativeInt = 48
    """Up to so many bits a person should judge; at most 64."""


class Options(_Section):
    """The choices of all readers, of cleaning, and of comparing image files."""

    vqa: VqaOptions = VqaOptions()
    vg_qa: VgQaOptions = VgQaOptions()
    gqa: GqaOptions = GqaOptions()
    refcocog: RefcocogOptions = RefcocogOptions()
    flickr30k_entities: Flickr30kEntitiesOptions = Flickr30kEntitiesOptions()
    clean: CleanOptions = CleanOptions()
    near_duplicates: NearDuplicateOptions = NearDuplicateOptions()
