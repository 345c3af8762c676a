"""``vlmt scan``: what it prints, writes and refuses."""

import hashlib
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

IMAGES = ["coco/train2017/000000318219.jpg", "vg/VG_100K_2/107933.jpg", "elsewhere/1.jpg", "sam/images/sa_1.jpg"]


@pytest.fixture
def mixture(tmp_path):
    rows = [{"id": n, "image": image, "conversations": []} for n, image in enumerate(IMAGES)] + [{"id": 9}]
    path = tmp_path / "mix.json"
    path.write_text(json.dumps(rows))
    return path


def test_the_answer_the_files_and_the_mixture_without_hits(vlmt, mixture, tmp_path):
    arguments = ("--data", tmp_path, "--against", "refcoco,refcoco+,pope")
    code, out, err = vlmt("scan", mixture, *arguments, "--write", tmp_path / "clean")
    assert code == 0, err
    assert "refcoco-test" in out and "crosswalk 1" in out and "None of: pope" in out
    assert "1 of 5 records (20.0%) shows test images: 3 of 4 images could be compared" in out
    assert "Not named, and not compared: 1 image in 'elsewhere' (such as 'elsewhere/1.jpg')." in out
    assert "none of these benchmarks uses: sam 1." in out and "1 record without an image." in out
    folder = tmp_path / "scans" / "mix.json"
    hits = pq.read_table(folder / "hits.parquet").to_pylist()
    assert {(row["record"], row["record_id"], row["image"], row["how"]) for row in hits} == {
        (1, "1", "coco:410707", "crosswalk")
    }
    report = json.loads((folder / "report.json").read_text())
    assert report["hit_records"] == 1 and report["benchmarks"]["refcoco-test"]["images"] == 1
    assert "| refcoco-test | 1 | 1,500 |" in (folder / "report.md").read_text()
    kept = json.loads((tmp_path / "clean" / "mix.json").read_text())
    assert [row["id"] for row in kept] == [0, 2, 3, 9]
    code, out, _ = vlmt("scan", tmp_path / "clean" / "mix.json", *arguments, "--check")
    assert code == 0 and "No record shows a test image that was recognised" in out


def test_a_check_exits_with_4_and_writes_nothing(vlmt, mixture, tmp_path):
    code, out, err = vlmt("scan", mixture, "--data", tmp_path, "--against", "refcoco", "--check", "--json")
    assert code == 4 and "take them out with vlmt scan --write DIR" in err
    assert json.loads(out)["hit_records"] == 1
    assert not (tmp_path / "scans").exists()


def test_a_benchmark_without_addresses_is_never_said_to_be_compared_with_them(vlmt, tmp_path):
    rows = [{"image": f"https://a.org/{number}", "conversations": []} for number in range(2)]
    (tmp_path / "mix.json").write_text(json.dumps(rows))
    arguments = ("scan", tmp_path / "mix.json", "--data", tmp_path, "--against", "coco,pope")
    code, out, _ = vlmt(*arguments, "--summary", tmp_path / "summary.md")
    assert code == 0 and "0 of 2 images could be compared" in out and "None of" not in out
    assert "Not compared with: coco-test, pope," in out
    assert "2 images are known by address alone, and not compared: the index has no addresses" in out
    assert "| coco-test | - | 5,000 | - |" in (tmp_path / "summary.md").read_text()
    card = (tmp_path / "scans" / "mix.json" / "card.md").read_text()
    assert "No image could be compared with those of: COCO captions, Karpathy test" in card and "None of" not in card


@pytest.mark.parametrize(
    ("records", "code", "said"),
    [
        ("", 3, "there is no record; give the files"),
        ("[]", 3, "there is no record"),
        ("{}", 3, "has records without a field"),
        ('[{"image": "ours/12.jpg", "conversations": []}]', 3, "none of 1 image could be compared"),
        (
            '[{"conversations": [{"from": "human", "value": "<image> What?"}]}]',
            3,
            "1 record with <image> in the text, and no image",
        ),
        ('[{"conversations": [{"from": "human", "value": "What is love?"}]}]', 0, ""),
    ],
)
def test_a_check_that_can_read_no_image_does_not_pass(vlmt, tmp_path, records, code, said):
    (tmp_path / "mix.json").write_text(records)
    got, out, err = vlmt("scan", tmp_path / "mix.json", "--data", tmp_path, "--against", "refcoco", "--check")
    assert got == code and said in err and "None of:" not in out
    assert vlmt("scan", tmp_path / "mix.json", "--data", tmp_path, "--against", "refcoco")[0] == 3 * (records == "{}")


def test_of_a_sampled_file_all_records_count_and_it_is_said_which_training_sees(vlmt, mixture, tmp_path):
    text = "".join(f"  - json_path: {mixture}\n    sampling_strategy: {each}\n" for each in ("first:20%", "random:1"))
    (tmp_path / "mix.yaml").write_text(f"datasets:\n{text}")
    arguments = ("scan", tmp_path / "mix.yaml", "--data", tmp_path, "--against", "refcoco")
    code, out, _ = vlmt(*arguments)
    assert code == 0 and "(first:20%), and all its records are counted: training sees 1 of 5, 0 of 1 record" in out
    assert "(random:1), and all its records are counted: which of them training sees is drawn at random." in out
    report = (tmp_path / "scans" / "mix.yaml" / "report.md").read_text()
    assert "| 5 | 1 | first:20% |" in report and "training sees 1 of 5" in report


@pytest.mark.parametrize(
    ("record", "advice", "way"),
    [
        ({"image": "ours/12.jpg"}, "--rules what their names mean, such as 'ours/{number}.jpg = coco'", "--rules"),
        ({"image": "12.jpg#0"}, "such as '{number}.jpg = coco'", "--rules"),
        ({"image": "12.jpg"}, "or with --source where all their numbers are of one source", "--source"),
        ({"image": "https://a.org/b/12.jpg"}, "such as 'a.org/b/{number}.jpg = coco'", "--rules"),
        ({"image_sha256": "5" * 64}, "give --index a file with the hashes of the benchmarks' images", None),
    ],
)
def test_a_check_of_nothing_says_what_to_do_and_that_helps(vlmt, tmp_path, record, advice, way):
    (tmp_path / "mix.jsonl").write_text(json.dumps(record) + "\n")
    arguments = ("scan", tmp_path / "mix.jsonl", "--data", tmp_path, "--against", "pope", "--check")
    code, _, err = vlmt(*arguments)
    assert code == 3 and "none of 1 image could be compared" in err and advice in err
    if way:
        (tmp_path / "rules").write_text(advice.rpartition("'")[0].rpartition("'")[2])
        assert vlmt(*arguments, way, tmp_path / "rules" if way == "--rules" else "coco")[0] == 0


def test_records_that_cannot_be_read_pass_no_check_and_are_kept(vlmt, tmp_path):
    good, bad = '{"image": "coco/train2017/000000000030.jpg"}\n', '{"image": "coco/train2017/000000000042.jpg" 1}\n'
    (tmp_path / "mix.jsonl").write_text(good + bad)
    arguments = ("scan", tmp_path / "mix.jsonl", "--data", tmp_path, "--against", "pope")
    code, out, err = vlmt(*arguments, "--check")
    assert code == 3 and "1 of 2 records could not be read, such as record 1: is not JSON" in err
    assert "1 record could not be read, and may show any image." in out
    code, _, err = vlmt(*arguments, "--write", tmp_path / "clean")
    assert code == 0 and "1 record that could not be read stays as it is" in err
    assert (tmp_path / "clean" / "mix.jsonl").read_text() == good + bad


def test_a_check_compares_an_image_with_every_benchmark_that_it_names(vlmt, tmp_path):
    (tmp_path / "mix.jsonl").write_text('{"image": "https://a.org/x.jpg"}\n')
    arguments = ("scan", tmp_path / "mix.jsonl", "--data", tmp_path, "--check", "--against")
    made = tmp_path / "web.json"
    made.write_text('[{"image": "mine/1.jpg", "url": "https://b.org/1.jpg"}]')
    assert vlmt("index", "add", f"web={made}", "--data", tmp_path)[0] == 0
    assert [vlmt(*arguments, names)[0] for names in ("web", "web,pope", "all")] == [0, 3, 3]
    own = ("index", "add", f"mine={made}", "--to", tmp_path / "own.parquet", "--data", tmp_path)
    assert vlmt(*own)[0] == 0 and vlmt(*arguments[:-1], "--index", tmp_path / "own.parquet")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere.json",), 3, "there is no such file"),
        (("{mixture}", "--against", "refcco"), 2, "did you mean refcoco"),
        (("{mixture}", "--form", "lava"), 2, "there is no form 'lava'"),
        (("{mixture}", "--check", "--write", "x"), 2, "--check and --write exclude each other"),
        (("{mixture}", "--only-images"), 2, "--only-images goes with --write"),
        (("{mixture}", "--verdicts", "x"), 2, "go with --images"),
        (("{mixture}", "--images", "--test-images", "nowhere"), 2, "write NAME=DIR"),
        (("{mixture}", "--source", "cocoo"), 2, "is not a source of images"),
        (("{mixture}", "--write", "{folder}"), 2, "is a file of the mixture itself"),
        (("{mixture}", "--write", "{mixture}"), 2, "is a file; give --write a folder"),
        (("{mixture}", "--form", "image_folder"), 3, "is not a folder of images"),
    ],
)
def test_bad_input_is_one_line(vlmt, mixture, tmp_path, arguments, code, message):
    given = [each.format(mixture=mixture, folder=mixture.parent) for each in arguments]
    before = mixture.read_bytes()
    got, _, err = vlmt("scan", *given, "--data", tmp_path, "--out", tmp_path / "out")
    assert got == code and message in err
    assert mixture.read_bytes() == before


def test_another_mixture_of_the_same_name_replaces_no_results(vlmt, mixture, tmp_path):
    other = tmp_path / "other" / mixture.name
    other.parent.mkdir()
    other.write_bytes(mixture.read_bytes())
    arguments = ("--data", tmp_path, "--against", "pope")
    assert [vlmt("scan", mixture, *arguments)[0] for _ in range(2)] == [0, 0]
    code, out, err = vlmt("scan", other, *arguments)
    assert code == 2 and not out and f"holds the scan of {mixture}" in err and "--out" in err
    assert vlmt("scan", other, *arguments, "--out", tmp_path / "out")[0] == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["given"] == [str(other)]


def test_a_scan_for_less_replaces_no_results(vlmt, mixture, tmp_path):
    def scan(*arguments):
        return vlmt("scan", mixture, "--data", tmp_path, "--against", *arguments)

    report = tmp_path / "scans" / mixture.name / "report.json"
    assert scan("pope")[0] == scan("pope,refcoco")[0] == 0
    before = report.read_text()
    code, out, err = scan("pope")
    assert code == 2 and not out and "holds a scan that also looked for refcoco" in err and "--out" in err
    assert report.read_text() == before
    assert scan("pope", "--out", tmp_path / "out")[0] == 0
    report.write_text(json.dumps(json.loads(before) | {"pictures": 0}))
    assert "holds a scan that also compared pictures" in scan("pope,refcoco")[2]


def test_rules_name_what_private_folders_hold(vlmt, tmp_path):
    (tmp_path / "mix.jsonl").write_text(json.dumps({"id": "a", "image": "team/410707.jpg"}) + "\n")
    arguments = ("scan", tmp_path / "mix.jsonl", "--data", tmp_path, "--against", "refcoco")
    assert json.loads(vlmt(*arguments, "--json")[1])["hit_records"] == 0
    for rule in ("team/{number}.jpg = coco", "team\\{number}.jpg = coco", ".\\team\\{number}.jpg = coco"):
        (tmp_path / "rules.txt").write_text(f"{rule}\nother/{{id}}.jpg = ours\nteams/*{{number}}.jpg = vg\n")
        _, out, _ = vlmt(*arguments, "--json", "--rules", tmp_path / "rules.txt")
        report = json.loads(out)
        assert report["hit_records"] == 1
        assert report["idle_rules"] == ["other/{id}.jpg = ours", "teams/*{number}.jpg = vg"]
    said = " ".join(vlmt(*arguments, "--rules", tmp_path / "rules.txt")[1].split())
    assert "Rules that fit no name: 'other/{id}.jpg = ours', 'teams/*{number}.jpg = vg'. A pattern is the end" in said


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_published_names_the_hits_and_the_files(vlmt, mixture, tmp_path):
    arguments = ("--data", tmp_path, "--against", "refcoco,pope", "--out", tmp_path / "out", "--croissant")
    assert vlmt("scan", mixture, *arguments, "--write", tmp_path / "clean")[0] == 0
    card, rows = ((tmp_path / "out" / name).read_text() for name in ("card.md", "contamination.csv"))
    assert "| RefCOCO testA and testB | 1 | 1,500 | 0.07 |" in card and "is of: POPE on COCO;" in card
    assert rows.splitlines()[1:] == ["RefCOCO testA and testB;;mix.json;corpus;;;0.07;data-based;;"]
    described = json.loads((tmp_path / "out" / "croissant.json").read_text())
    (origin,) = described["prov:wasDerivedFrom"]
    assert (origin["name"], origin["sha256"]) == ("mix.json", sha256(mixture))
    files = {each["contentUrl"]: each["sha256"] for each in described["distribution"]}
    assert files["../clean/mix.json"] == sha256(tmp_path / "clean" / "mix.json")
    assert all(sha256(tmp_path / "out" / path) == digest for path, digest in files.items())


def test_a_mixture_elsewhere_is_scanned_and_not_written(vlmt, mixture, tmp_path, monkeypatch):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/bucket/mix.json", mixture.read_bytes())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    arguments = ("scan", "memory://bucket/mix.json", "--data", tmp_path, "--against", "refcoco")
    code, out, err = vlmt(*arguments)
    assert code == 0 and "1 of 5 records" in out, err
    assert pq.read_table(tmp_path / "scans" / "mix.json" / "hits.parquet")["file"].to_pylist() == [arguments[1]]
    code, _, err = vlmt(*arguments, "--write", tmp_path / "clean")
    assert code == 2 and "--write needs the mixture on this machine" in err
    assert not list((tmp_path / "temporary").iterdir())


def test_pictures_without_a_name_and_what_a_person_says_of_those_that_look_alike(vlmt, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "pool").mkdir()
    for number in range(3):
        colours = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).resize((160, 120), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "photos" / f"p{number}.png")
        picture = (picture.resize((80, 60)), picture.crop((0, 0, 157, 117)), picture.crop((0, 0, 157, 117)))[number]
        picture.save(tmp_path / "pool" / f"x{number}", "JPEG", quality=95)
    index = ("--data", tmp_path, "--index", tmp_path / "ours.parquet")
    assert vlmt("index", "add", f"ours={tmp_path / 'photos'}", "--to", index[-1], "--data", tmp_path)[0] == 0
    arguments = ("scan", tmp_path / "pool", "--images", *index, "--workers", "1")
    code, out, err = vlmt(*arguments, "--test-images", f"ours={tmp_path / 'photos'}")
    assert code == 0 and "1 of 3 records (33.3%) shows test images" in out, err
    assert "2 pictures may be a test image: a person must judge." in out
    folder = tmp_path / "scans" / "pool"
    (hit,) = pq.read_table(folder / "hits.parquet").to_pylist()
    assert (hit["written"], hit["image"], hit["how"]) == ("x0", "ours:p0-png", "perceptual")
    assert hit["distance"] <= 24
    page = (folder / "gallery.html").read_text()
    same = re.findall(r'value="(same ours:p[12]-png pixels:[0-9a-f]{32})"', page)
    assert len(same) == 2 and page.count("data:image/jpeg;base64,") == 4
    (tmp_path / "verdicts.txt").write_text(f"{same[0]}\n{same[1].replace('same', 'different')}\n")
    code, out, _ = vlmt(*arguments, "--verdicts", tmp_path / "verdicts.txt", "--check")
    assert code == 4 and "2 of 3 records (66.7%) show" in out and "may be a test image" not in out
