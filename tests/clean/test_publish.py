"""What reports say for those who publish, against rows written by hand."""

from vlmt_cli.clean.publish import Shared, conda_rows


def test_a_row_of_the_contamination_database_has_its_columns():
    shared = [
        Shared("RefCOCO testA and testB", "my;mix.json", 750, 1500),
        Shared("A-OKVQA val", "mix.json", 1, 3, is_validation=True),
    ]
    header, test, validation = conda_rows(shared).splitlines()
    assert header == (
        "Evaluation Dataset;Subset;Contaminated Source;Model or corpus;Train Split;Development Split;Test Split;"
        "Approach;Reference;PR"
    )
    assert test == 'RefCOCO testA and testB;;"my;mix.json";corpus;;;50.00;data-based;;'
    assert validation == "A-OKVQA val;;mix.json;corpus;;33.33;;data-based;;"
