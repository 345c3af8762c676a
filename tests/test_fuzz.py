"""Wrong bytes in the files that are read: each input is accepted, or refused by one short line."""

from benchmarks.fuzz import OUTCOMES, fuzz, make_inputs


def test_two_hundred_mutated_files_are_accepted_or_named(tmp_path):
    make_inputs(tmp_path)
    outcomes, wrong = fuzz(200, 7, tmp_path)
    assert wrong == []
    assert sum(outcomes.values()) == 200
    assert min(outcomes[name] for name in OUTCOMES[:2]) > 20
