"""JSON, YAML and text where any byte may be wrong: one line that says where."""

import pytest

from vlmt_cli.base.documents import parse_json, parse_yaml, read_text, read_yaml
from vlmt_cli.base.errors import DataError

BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

JSON = {
    '{"a": 1, "b": {"c": 1, "c": 2}}': "the key 'c' stands twice",
    "[" * 100_000: "is nested too deeply",
    "[" * 100 + "]" * 100: "is nested too deeply",
    '{"a": "\\ud800"}': "half of a surrogate pair",
    '{"a": NaN}': "NaN or infinite",
    '{"a": 1e999}': "NaN or infinite",
    "9" * 5_000: "a number of 5,000 digits",
    '{"a": ': "is not valid JSON",
}
YAML = {
    BOMB: "holds more than 100,000 values",
    "a: &a [*a]": "is nested too deeply",
    "[" * 2_000: "is nested too deeply",
    "a:\n  b: 1\n  b: 2": "line 3: is not valid YAML .*'b' stands twice",
    "a: 2001-99-99": "month must be",
    "a: !!python/object:os.system x": "line 1: is not valid YAML",
    "? [a]\n: b": "line 1: is not valid YAML",
    f"a: {'9' * 5_000}": "is not valid YAML",
}


@pytest.mark.parametrize(("parse", "text", "message"), [
    *((parse_json, text, message) for text, message in JSON.items()),
    *((parse_yaml, text, message) for text, message in YAML.items()),
])  # fmt: skip
def test_what_is_wrong_is_one_line(parse, text, message):
    with pytest.raises(DataError, match=f"^file: {'' if message.startswith('line') else '.*'}{message}") as caught:
        parse(text, "file")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_what_may_be_odd_is_read(tmp_path):
    assert parse_json('{"loss": NaN}', "file", nan=True)["loss"] != 0
    assert parse_yaml("base: &b {x: 1}\nmore: {<<: *b, x: 2}", "file")["more"] == {"x": 2}
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path) == {"a": 1}
    path.write_bytes(b"a\nb\xe9\n")
    with pytest.raises(DataError, match="file: line 2: is not UTF-8 text"):
        read_text(path)
