"""Counts and lists in messages."""

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import be, count, listed, printable


def test_a_noun_agrees_with_its_number():
    assert [count(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert [count(n, "address", "addresses") for n in (1, 2)] == ["1 address", "2 addresses"]
    assert [be(n) for n in (0, 1, 2)] == ["are", "is", "are"]


def test_the_last_word_of_a_list_follows_and():
    assert [listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_what_a_file_says_is_quoted_on_one_short_line():
    assert printable("a photo of Zoë") == "a photo of Zoë"
    assert printable("\x1b[31mred\n\u202eevil\ud800") == r"\x1b[31mred\n\u202eevil\ud800"
    assert len(printable("x" * 10**6)) == len(printable("\x1b" * 10**6)) == 80
    long = repr("it's " * 10**5)
    for message in (f"{long} isn't a key", f"a dataset's key {long[:2000]!r} of 'x'"):
        error = str(DataError(message, where="file"))
        assert error.startswith("file: ") and len(error) < 130
    assert str(DataError("it isn't 'a' key of the users' file")) == "it isn't 'a' key of the users' file"
    assert str(DataError("says \x1b[2J", where="a\nb")) == r"a\nb: says \x1b[2J"
