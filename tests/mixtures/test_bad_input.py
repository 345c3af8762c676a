"""Damaged and hostile files of every form are refused in one line, or counted; nothing is lost or half-written."""

import gzip

import pytest
from mixtures.files import MAKERS
from mixtures.records import damaged_of, ids_of, images_of, write_kept

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.opening import form_of

ROWS = [["coco/train2017/000000000007.jpg"], ["b.jpg"], ["c.jpg"], ["http://a.org/8.jpg"]]
DAMAGE = {
    "cut": lambda data: data[: len(data) * 2 // 3],
    "another kind": lambda data: b"\x89PNG\r\n\x1a\n" + data[8:],
    "zeros": lambda data: bytes(10 * len(data)),
    "a NUL": lambda data: data[: len(data) // 2] + b"\0" + data[len(data) // 2 :],
    "a BOM": lambda data: b"\xef\xbb\xbf" + data,
}
HOSTILE = {
    "a name of 70,000 letters": [["a.jpg"], ["x" * 70_000 + ".jpg"], ["c.jpg"]],
    "names that climb": [["a.jpg"], ["../../up.jpg"], ["/etc/up.jpg"]],
}


def names_of(path, form) -> list[str]:
    return [image.get("name") or image["url"] for _, _, image in images_of(path, form)]


def files_of(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_form_is_tried():
    assert {kind.split()[0] for kind in MAKERS} == set(FORMS)


@pytest.mark.parametrize("what", [*DAMAGE, *HOSTILE])
@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_is_lost_silently(tmp_path, kind, what):
    path = tmp_path / "a" / "b" / "in" / MAKERS[kind].name
    path.parent.mkdir(parents=True)
    rows = MAKERS[kind].write(path, HOSTILE.get(what, ROWS))
    intact = names_of(path, kind.split()[0]) if what in DAMAGE else []
    if what in DAMAGE:
        inner = [*path.glob("*.arrow"), *path.glob("metadata.jsonl"), *path.glob("*.jpg"), path]
        inner[0].write_bytes(DAMAGE[what](inner[0].read_bytes()))
    before = files_of(tmp_path)
    try:
        form = form_of(path)
        shown, damaged = names_of(path, form), damaged_of(path, form)
        assert form == kind.split()[0]
        if what in DAMAGE:
            assert set(shown) <= set(intact) and (shown == intact or damaged)
        else:
            assert len(shown) + len(damaged) == sum(map(len, rows))
        keep = [number % 2 == 0 for number in range(len(ids_of(path, form)))]
        new = tmp_path / "out" / path.name
        write_kept(path, form, keep, new)
        assert len(ids_of(new, form)) == sum(keep)
    except DataError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        assert not list(tmp_path.glob("out/*"))
    outside = {name: data for name, data in files_of(tmp_path).items() if not name.startswith("out")}
    assert outside == before


def test_a_packed_file_that_is_cut_or_none_is_said_with_what_to_do(tmp_path):
    data = b'[{"image": "coco/1.jpg"}]' * 99
    for name, content, said in (
        ("a.json.gz", gzip.compress(data)[:-20], "is not an intact .gz file .*; get the file again, or pack it again"),
        ("a.json.gz", data, "is not packed with gzip, as its name says; name it a.json$"),
        ("a.tgz", data, "is not packed with gzip, as its name says; name it a.tar$"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: {said}"):
            form_of(tmp_path / name)
            names_of(tmp_path / name, "records")
