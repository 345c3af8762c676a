"""The published tables agree with each other and with the text."""

from vlmt_cli import paper


def test_table_8_adds_up_to_the_totals_in_print():
    full = paper.numbers("table8_samples", "dataset", "full_train")
    assert sum(full.values()) == 5_021_112
    assert len(full) == 12


def test_table_2_averages_are_the_means_of_the_twelve_tasks():
    for row in paper.table("table2_results"):
        scores = [float(row[name]) for name in paper.numbers("table8_samples", "dataset", "test") if row[name]]
        if row["average"]:
            assert abs(sum(scores) / len(scores) - float(row["average"])) < 0.02
