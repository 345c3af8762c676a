"""Recipes say every choice; a wrong key is met with the right one."""

import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.recipes import load_recipe, recipes_folder
from vlmt_cli.datasets.options import Options


def test_the_data_recipe_lists_every_key_with_its_default():
    import yaml

    assert load_recipe("data", Options) == Options()
    assert yaml.safe_load((recipes_folder() / "data.yaml").read_text()) == Options().model_dump()


def test_settings_override_keys():
    options = load_recipe("data", Options, ["vqa.minval=5", "refcocog.split_by=google"])
    assert (options.vqa.minval, options.refcocog.split_by) == (5, "google")


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("vqa.minvall=5", "did you mean vqa.minval"),
        ("vqa.minval=-1", "greater than or equal to 0"),
        ("vqa.minval=many", "valid integer"),
        ("refcocog.split_by=unc", "'umd' or 'google'"),
        ("vqa.minval", "write it as --set key=value"),
        ("vqa.minval.x=1", "no keys of its own"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_way_out(setting, hint):
    with pytest.raises(UsageError) as caught:
        load_recipe("data", Options, [setting])
    assert hint in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_recipe_offers_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="did you mean data"):
        load_recipe("date", Options)
    path = tmp_path / "mine.yaml"
    path.write_text("vqa: [")
    with pytest.raises(DataError, match=r"mine\.yaml: line 1: is not valid YAML"):
        load_recipe(str(path), Options)
