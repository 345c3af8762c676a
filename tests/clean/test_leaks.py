"""The page of leaks, read in a browser as a person reads it; its numbers against a plain count."""

import json
import re

import pyarrow as pa
import pytest
from browser import browser

from vlmt_cli.clean.leaks import _below
from vlmt_cli.clean.leaks_page import Beside, leak_rows, write_leaks
from vlmt_cli.clean.scan import HITS, IMAGE, IMAGE_AND_TEXT
from vlmt_cli.mixtures.batch import Source

EVIL = '"></script><script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">'
TITLES = {"pope": "POPE", "refcoco-test": "RefCOCO test <b>", "gqa-testdev": "GQA testdev"}
ROWS = [
    ("a/mix.json", 3, "r3", "coco/train2017/000000000007.jpg", "coco:7", "pope", "coco:7", "id", IMAGE_AND_TEXT),
    ("a/mix.json", 9, "r9", "coco/train2017/000000000007.jpg", "coco:7", "pope", "coco:7", "id", IMAGE),
    ("a/mix.json", 9, "r9", "coco/train2017/000000000007.jpg", "coco:7", "refcoco-test", "coco:7", "id", IMAGE),
    ("a/mix.json", 11, None, "vg/VG_100K/5.jpg", "vg:5", "refcoco-test", "coco:8", "crosswalk", IMAGE),
    ("b/mix.json", 0, "r0", EVIL, "coco:8", "refcoco-test", "coco:8", "id", IMAGE),
]
NAMES = ("file", "record", "record_id", "written", "key", "benchmark", "image", "how", "shows")


def hits_of(rows):
    return pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) | {"position": 0} for row in rows], HITS)


def write(path, rows, **beside):
    write_leaks(path, f"Leaks {EVIL}", EVIL, leak_rows(hits_of(rows)), TITLES, Beside(**beside), "hits.parquet")
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def page(tmp_path):
    said, asked = {("a/mix.json", 3): EVIL, ("b/mix.json", 0): "What?"}, {("pope", "coco:7"): [EVIL, "a cat"]}
    return write(tmp_path / "leaks.html", ROWS, said=said, asked=asked)


def shown(tab):
    return tab.see("Array.from(document.querySelectorAll('#images h3 span:first-child'), e => e.textContent)")


def test_the_matrix_counts_images_of_each_file_and_of_all(page):
    text = page.read_text()
    buttons = re.findall(r'<button type=button data-(benchmark="\d+" data-file="\d*")[^>]*>(\d+)</button>', text)
    numbers = {tuple(map(int, re.findall(r"\d+", cell))): int(number) for cell, number in buttons}
    assert numbers == {(0,): 2, (0, 0): 2, (0, 1): 1, (1,): 1, (1, 0): 1}  # RefCOCO, which has most, comes first
    assert "No image of: GQA testdev." in text and "all files" in text


def test_a_row_is_an_image_and_first_rows_are_of_all_benchmarks():
    rows = leak_rows(hits_of(ROWS)).to_pylist()
    assert [(row["file"][0], row["benchmark"], row["image"]) for row in rows] == [
        ("a", "pope", "coco:7"),
        ("a", "refcoco-test", "coco:7"),
        ("b", "refcoco-test", "coco:8"),
        ("a", "refcoco-test", "coco:8"),
    ]
    assert rows[0]["record_list"] == [3, 9] and rows[0]["has_text"] and not rows[1]["has_text"]


def test_a_reader_clicks_searches_and_copies(page, tab):
    tab.open(page)
    assert shown(tab) == ["coco:7", "coco:7", "coco:8", "coco:8"]
    tab.click("button[data-benchmark='0'][data-file='0']")
    assert shown(tab) == ["coco:7", "coco:8"]
    assert tab.see("document.activeElement.textContent") == "RefCOCO test <b> in a/mix.json"
    assert tab.see("document.querySelectorAll('[aria-pressed=true]').length") == 1
    tab.click("#search")
    tab.type("VG_100K")
    assert shown(tab) == ["coco:8"] and "1 test image match" in tab.see("document.getElementById('count').textContent")
    assert "vg:5 = coco:8" in tab.see("document.querySelector('.chip').textContent")
    tab.click("#all")
    tab.click("#copy")
    tab.wait("document.getElementById('count').textContent.startsWith('Copied: 3 images')")
    lines = ["coco/train2017/000000000007.jpg", EVIL, "vg/VG_100K/5.jpg", ""]
    assert tab.see("document.getElementById('excluded').value.split('\\n')") == lines
    tab.click("#search")
    tab.type("nothing like it")
    assert tab.see("document.getElementById('count').textContent") == "Nothing matches." and not tab.errors


def test_keys_are_enough_and_a_telephone_shows_it(page, tab):
    tab.open(page, width=390)
    assert tab.see("document.documentElement.scrollWidth") <= 390
    for _ in range(3):  # the table, which scrolls, then its first two buttons
        tab.press("Tab", 9)
    assert tab.see("document.activeElement.getAttribute('aria-label')") == "2 images of RefCOCO test <b> in a/mix.json"
    tab.press("Enter", 13)
    assert shown(tab) == ["coco:7", "coco:8"]


def test_what_others_wrote_is_text(page, tab):
    tab.open(page)
    assert tab.see("document.title").startswith("Leaks ") and tab.see("document.scripts.length") == 2
    assert EVIL in tab.see("Array.from(document.querySelectorAll('.said'), e => e.textContent)")
    assert not tab.see("document.querySelectorAll('img').length") and not tab.errors


def test_more_rows_than_the_page_takes_are_said(tmp_path, tab, monkeypatch):
    monkeypatch.setattr("vlmt_cli.clean.leaks_page.MOST_ROWS", 60)
    rows = [("m", n, None, f"{n}.jpg", f"coco:{n}", "pope", f"coco:{n}", "id", IMAGE) for n in range(70)]
    page = write(tmp_path / "leaks.html", rows)
    assert "the first 60 of 70 images" in page.read_text()
    assert len(json.loads(re.search(r'id="leaks">(.*?)</script>', page.read_text())[1])["rows"]) == 60
    tab.open(page)
    assert len(shown(tab)) == 50
    tab.click("#more")
    assert len(shown(tab)) == 60 and tab.see("document.getElementById('more').hidden")
    tab.click("#copy")
    tab.wait("document.getElementById('count').textContent.includes('hits.parquet has all')")


def test_only_pictures_below_the_mixture_are_shown(tmp_path):
    (tmp_path / "mix" / "pics").mkdir(parents=True)
    for path in (tmp_path / "private.jpg", tmp_path / "mix" / "pics" / "1.jpg"):
        path.write_bytes(b"")
    source = Source(tmp_path / "mix" / "mix.json", "records", root="pics")
    assert _below(source, "1.jpg") == _below(source, "pics/1.jpg") == tmp_path / "mix" / "pics" / "1.jpg"
    assert _below(source, "../private.jpg") is _below(source, str(tmp_path / "private.jpg")) is None
