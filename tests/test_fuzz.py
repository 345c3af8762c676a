"""Wrong bytes in the files that are read: each input is accepted, or refused by one short line.

It takes some seconds, as one other process imports all the readers.
"""

from benchmarks.fuzz import OUTCOMES, fuzz


def test_two_hundred_mutated_files_are_accepted_or_named():
    outcomes, wrong = fuzz(200, 7)
    assert wrong == []
    assert sum(outcomes.values()) == 200
    assert min(outcomes[name] for name in OUTCOMES[:2]) > 20
