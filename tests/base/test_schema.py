"""Files that outlive a release: older ones are read or named, newer ones refused, and unknown keys named."""

import pytest
from pydantic import BaseModel, ConfigDict

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.schema import parse


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    score: float


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = 2
    name: str
    added_in_2: int = 0
    parts: dict[str, Part] = {}


def test_an_older_file_is_read_with_defaults_of_what_it_lacks():
    assert parse(File, {"version": 1, "name": "a"}, "file.json").added_in_2 == 0
    assert parse(File, {"name": "a"}, "file.json").name == "a"  # from before files had a version


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 1}, "file.json: was made by an older vlmt: the key 'name' is missing; run it again"),
        ({}, "file.json: was made by an older vlmt: the key 'name' is missing; run it again"),
        (
            {"version": 3, "name": "a", "new": 1},
            "file.json: was made by a newer vlmt: it has version 3, and this vlmt reads up to 2; install a newer vlmt",
        ),
        ({"version": 2, "name": "a", "nmae": "b"}, "file.json: there is no key 'nmae'; did you mean name?"),
        (
            {"version": 2, "name": "a", "parts": {"x": {"score": 1, "scroe": 2}}},
            "file.json: there is no key 'parts.x.scroe'; did you mean parts.score or parts?",
        ),
        ({"version": 2, "name": []}, "file.json: name: input should be a valid string; run it again"),
        ([], "file.json: input should be a valid dictionary or instance of File; run it again"),
    ],
)
def test_what_is_wrong_is_one_line(values, message):
    with pytest.raises(DataError) as error:
        parse(File, values, "file.json", todo="run it again")
    assert str(error.value) == message


def test_the_kind_of_error_is_the_callers():
    with pytest.raises(UsageError):
        parse(Part, {}, "recipe", UsageError)
