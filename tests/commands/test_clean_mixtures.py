"""``vlmt clean --mixture`` and mixtures as image lists: counted, cleaned and checked beside the datasets."""

import hashlib
import json
import shutil

import pyarrow.parquet as pq
import pytest
from commands.running import run


@pytest.fixture(scope="module")
def tested(world):
    """Test images of the small world by their names in a mixture, and how each is known; the last two are none."""
    hits = [hit for row in pq.read_table(world / "clean" / "removed.parquet")["hits"].to_pylist() for hit in row]
    image = next(hit["image"] for hit in hits if hit["how"] == "id" and hit["image"].startswith("coco:"))
    crossed = next(hit["image"] for hit in hits if hit["how"] == "crosswalk" and hit["image"].startswith("vg:"))
    return {
        f"coco/train2017/{int(image.partition(':')[2]):012}.jpg": "id",
        f"vg/VG_100K/{crossed.partition(':')[2]}.jpg": "crosswalk",
        "coco/train2017/000000999999.jpg": None,
        "private/1.jpg": None,
    }


@pytest.fixture(scope="module")
def mixture(tested, tmp_path_factory):
    """A OneVision list of two LLaVA files, the second of which loses every record."""
    folder = tmp_path_factory.mktemp("mixture")
    rows = [{"id": f"r{n}", "image": name, "conversations": []} for n, name in enumerate(tested)] + [{"id": "text"}]
    (folder / "a.json").write_text(json.dumps(rows, indent=1))
    (folder / "b.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (folder / "mix.yaml").write_text("datasets:\n  - json_path: a.json\n  - json_path: b.jsonl\n")
    return folder / "mix.yaml"


@pytest.fixture(scope="module")
def both(world, mixture, tmp_path_factory):
    """The small world cleaned again, the mixture with it."""
    data = tmp_path_factory.mktemp("both")
    for name in ("raw", "examples", "clean"):
        shutil.copytree(world / name, data / name)
    assert run("clean", "--data", str(data), "--mixture", f"mix={mixture}") == 0
    return data, json.loads((data / "clean" / "report.json").read_text())


def test_the_datasets_split_stays_and_the_mixture_loses_what_shows_a_test_image(world, both, tested):
    data, report = both
    before = json.loads((world / "clean" / "report.json").read_text())
    assert report["split_hash"] == before["split_hash"] and report["splits"] == before["splits"]
    now, then = (pq.read_table(folder / "clean" / "keep.parquet") for folder in (data, world))
    assert now.equals(then)
    (mix,) = report["mixtures"]
    assert (mix["records"], mix["removed"], mix["images"], mix["unnamed"]) == (6, 3, 5, 1)
    assert mix["by_relation"]["crosswalk"] == 1
    folder = data / "clean" / "mixtures" / "mix"
    kept = json.loads((folder / "a.json").read_text())
    assert [row["id"] for row in kept] == ["r2", "r3", "text"]
    assert str(folder / "a.json") in (folder / "mix.yaml").read_text()
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(mix["sha256"])]
    assert mix["hash"] == hashlib.sha256("".join(lines).encode()).hexdigest() and len(lines) == 3
    assert set(pq.read_table(folder.with_name("mix.removed.parquet"))["how"].to_pylist()) == {"id", "crosswalk"}


def test_it_is_a_column_of_table_1(both, tested):
    data, report = both
    before, after = (
        {test: row["mix (mixture)"] for test, row in report[name].items()}
        for name in ("test_images_before", "test_images_after")
    )
    assert any(cell["hit"] for cell in before.values()) and not any(cell["hit"] for cell in after.values())
    assert {test: cell["of"] for test, cell in before.items()} == {
        test: row["vqa"]["of"] for test, row in report["test_images_before"].items()
    }
    page = (data / "clean" / "report.md").read_text()
    assert "Mixture mix: 3 of 6 records showed test images and go; 1 image of 5 is not named (such as" in page
    assert "1 image of the mixture mix that nothing names" in report["verdict"]
    assert "mix (mixture)" in (data / "clean" / "card.md").read_text()


def test_the_check_looks_at_what_was_written(vlmt, both, tested):
    data, _ = both
    code, out, err = vlmt("clean", "--check", "--data", data)
    assert code == 0 and "3 records of mixtures" in out, err
    assert "Still open: 1 image of the mixture mix that nothing names." in out.replace("\n", " ")
    assert json.loads(vlmt("clean", "--check", "--data", data, "--json")[1])["open"]
    path = data / "clean" / "mixtures" / "mix" / "b.jsonl"
    content = path.read_bytes()
    path.write_text(json.dumps({"image": next(iter(tested)), "conversations": []}) + "\n")
    code, _, err = vlmt("clean", "--check", "--data", data)
    assert code == 4 and "1 kept record shows test images, the first of them mix mixture b.jsonl record 0" in err
    path.write_text(json.dumps({"image": "a/b.jpg", "conversations": []}) + "\n")
    code, _, err = vlmt("clean", "--check", "--data", data)
    assert code == 3 and "b.jsonl is not what was written with the split" in err
    path.write_bytes(content)


def test_a_mixture_stays_and_one_more_replaces_nothing(vlmt, both, mixture):
    data, _ = both
    before = (data / "clean" / "report.json").read_bytes()
    code, _, err = vlmt("clean", "--data", data)
    assert code == 0 and "Kept beside the split, as a mixture: mix" in err
    assert (data / "clean" / "report.json").read_bytes() == before
    code, _, err = vlmt("clean", "--data", data, "--replace", "--mixture", f"a={data / 'clean/mixtures/mix/a.json'}")
    assert code == 2 and "is what cleaning a wrote" in err
    code, _, err = vlmt("clean", "--data", data, "--mixture", "mix")
    assert code == 2 and "NAME=FILE" in err and err.count("\n") == 1
    assert vlmt("clean", "--data", data, "--replace")[0] == 0
    assert not list((data / "clean" / "mixtures").iterdir())
