"""Records in JSON: what they show, and what stays of them, held against json.loads."""

import base64
import gzip
import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mixtures.records import batches_of, damaged_of, ids_of, images_of, texts_of, write_kept

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures import json_records
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.opening import form_of

TURNS = [{"from": "human", "value": '<image>\nIs "[{,}]" \\ or é?'}, {"from": "gpt", "value": "image 猫"}]


def names_of(path, form="llava") -> list[list[str]]:
    """Return the names that each record shows."""
    names = [[] for _ in ids_of(path, form)]
    for record, _, image in images_of(path, form):
        names[record].append(image.get("name") or image.get("url"))
    return names


def write(path, records, **how):
    path.write_text(json.dumps(records, **how))
    return path


def test_the_shapes_of_llava(tmp_path):
    records = [
        {"id": "000000033471", "image": "coco/train2017/000000033471.jpg", "conversations": TURNS},
        {"id": 2**70, "conversations": TURNS, "images": ["a.jpg", "b.jpg"]},
        {"id": "t", "model": "", "conversations": TURNS},
        [{"id": "p", "image": "1.jpg"}, {"image": ["2.jpg"], "video": "v.mp4"}],
        {"id": 1.5, "image": "c.jpg", "prompt": "p", "chosen": "yes", "rejected": "no"},
        {"video": ["v.mp4", "w.mp4"], "conversations": TURNS},
    ]
    path = write(tmp_path / "mix.json", records)
    shown = [["coco/train2017/000000033471.jpg"], ["a.jpg", "b.jpg"], [], ["1.jpg", "2.jpg"], ["c.jpg"], []]
    assert names_of(path) == shown
    assert ids_of(path, "llava") == ["000000033471", str(2**70), "t", "p", "1.5", None]
    assert sum(batch.videos for batch in batches_of(path, "llava")) == 3
    assert texts_of(path, "llava")[4] == ["p", "yes", "no"]
    assert texts_of(path, "llava")[0] == [turn["value"] for turn in TURNS]


def test_images_in_a_field_that_is_not_known_are_known_by_what_stands_there(tmp_path):
    data, said = b"\xff\xd8\xff" + bytes(200), [{"from": "human", "value": 'Is "a.jpg"'}]
    shown = [
        ({"pic": "1.JPG", "conversations": TURNS}, ["1.JPG"]),
        ({"media": [{"path": "a b/2.png?x=1"}, {"path": "3.webp"}]}, ["a b/2.png?x=1", "3.webp"]),
        ({"info": {"name": "4.jpg", "raw": "https://a.org/4.jpg"}}, ["4.jpg"]),  # one image, named twice
        ({"photo_url": "https://a.org/5", "page_url": "https://a.org/6"}, ["https://a.org/5"]),
        ({"conversations": [{"from": "human", "value": "Who?", "shows": "7.jpg"}]}, ["7.jpg"]),
        ([{"image": "8.jpg"}, {"shown": ["9.jpg"]}], ["8.jpg", "9.jpg"]),
        ({"image": {"<image_00>": "10.jpg"}}, ["10.jpg"]),
        ({"image": "11.jpg", "source": "12.jpg"}, ["11.jpg"]),
        ({"conversations": said, "caption": "13.jpg", "id": "14.jpg", "note": "15.jpg is it"}, []),
        ({"image_str": base64.b64encode(data).decode()}, [None]),
        ({"id": "<image>", "shown": 5}, []),
    ]
    path = write(tmp_path / "mix.json", [record for record, _ in shown])
    assert names_of(path) == [names for _, names in shown]
    assert images_of(path, "llava")[-1][2]["sha256"] == hashlib.sha256(data).hexdigest()
    assert sum(batch.unmet for batch in batches_of(path, "llava")) == 1


def test_instructions_without_an_image_are_records_without_one(tmp_path):
    path = write(tmp_path / "alpaca.json", [{"instruction": "Say hello.", "input": "", "output": "Hello."}])
    assert form_of(path) == "records" and names_of(path, "records") == [[]]
    assert texts_of(path, "records") == [["Say hello.", "", "Hello."]]


def test_images_in_messages(tmp_path):
    data = b"\xff\xd8picture"
    uri = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    blocks = [
        {"type": "image_url", "image_url": {"url": uri}},
        {"type": "image_url", "image_url": {"url": "https://example.org/1.jpg"}},
        {"type": "image", "image": "file:///photos/a%20b.jpg"},
        {"type": "text", "text": "Who?"},
    ]
    query = {"query": "<img>x/000000000009.jpg</img>Who?", "response": "He.", "history": [["<img>h.jpg</img>", "A"]]}
    asked = {"prompt": [{"role": "user", "content": [{"type": "image", "image": "p.jpg"}]}], "chosen": []}
    records = [{"messages": [{"role": "user", "content": blocks}]}, query, asked]
    path = write(tmp_path / "mix.json", records)
    sha256, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest()
    assert images_of(path, "messages", data=True) == [
        (0, 0, {"sha256": sha256, "md5": md5, "data": data}),
        (0, 1, {"url": "https://example.org/1.jpg"}),
        (0, 2, {"name": "/photos/a b.jpg"}),
        (1, 0, {"name": "h.jpg"}),
        (1, 1, {"name": "x/000000000009.jpg"}),
        (2, 0, {"name": "p.jpg"}),
    ]
    assert texts_of(path, "messages")[0] == ["Who?"]


def test_base64_without_a_head_and_base64_that_is_damaged(tmp_path):
    data = b"\xff\xd8\xff" + bytes(200)
    bad = {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}]}]}
    path = write(tmp_path / "mix.json", [{"image": base64.b64encode(data).decode()}, bad])
    (_, _, first), (_, _, second) = images_of(path, "llava")
    assert (first["sha256"], second) == (hashlib.sha256(data).hexdigest(), {})


N, H = "coco/train2017/000000000009.jpg", "coco/train2017/000000000042.jpg"
U, F = "http://images.cocodataset.org/train2017/000000000042.jpg", "https://live.staticflickr.com/1/7_ab.jpg"


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        *[({key: H}, [H]) for key in ("Image", "imgs", "path", "image_paths", "imagePath", "photo", "Img-Path")],
        ({"image": N, "image2": H}, [N, H]),
        ({"image_1": N, "image_2": H, "image_id": 7}, [N, H]),
        ({"left_image": N, "right_image": H}, [N, H]),
        ({"left_url": F, "right_url": U}, [F, U]),
        ({"images": [N], "messages": [], "rejected_images": [H]}, [N, H]),
        ({"image_path": [N, H]}, [N, H]),
        ({"image_id": [9, 42]}, ["9", "42"]),
        ({"image": "0.png", "file_name": H}, [("0.png", H)]),
        ({"image": "0.png", "image_id": H, "coco_url": U, "flickr_url": F}, [("0.png", U, H, F)]),
        ({"image": "0.png", "url": "http://m.org/1", "coco_url": U}, [("0.png", "http://m.org/1", U)]),
        ({"file_name": "0.jpg", "image_source": H}, [(H, "0.jpg")]),
        ({"images": ["0.png", "1.png"], "image_path": [N, H]}, [("0.png", N), ("1.png", H)]),
        ({"images": ["0.png", "1.png"], "file_name": H}, ["0.png", "1.png"]),
        ({"image": "0.png", "image_url": H}, [("0.png", H)]),
        ({"coco_url": H}, [H]),
        ({"image": {"id": 9, "file_name": "0.jpg", "coco_url": U, "flickr_url": F}}, [("0.jpg", U, F)]),
        ({"messages": [{"content": [{"type": "image", "image_path": H}]}]}, [H]),
        ({"messages": [{"content": [{"type": "image", "file_name": H, "image_url": {"url": U}}]}]}, [(H, U)]),
        ({"messages": [{"content": {"type": "image", "image": H}}]}, [H]),
        ({"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": U}}]}]}, [U]),
        ({"identifier": "dev-850-0-1", "left_url": F, "right_url": U}, [("dev-850-0-img0", F), ("dev-850-0-img1", U)]),
        ({"identifier": "dev-850-0-1", "sentence": "x"}, ["dev-850-0-img0", "dev-850-0-img1"]),
        ({"image": True, "photo": None, "page_url": "http://a.org/7", "image_width": 3, "conversations": []}, []),
    ],
)  # fmt: skip
def test_every_field_that_names_an_image_is_read(tmp_path, record, shown):
    for name in ("mix.json", "mix.jsonl"):
        images = images_of(write(tmp_path / name, [record]), "records")
        said = [tuple(filter(None, (each.get("name"), each.get("url"), *each.get("also", ())))) for *_, each in images]
        assert said == [each if isinstance(each, tuple) else (each,) for each in shown]


def test_bytes_of_an_image_in_base64_are_known_by_their_hash(tmp_path):
    data = b"\xff\xd8\xff" + bytes(200)
    for key in ("bytes", "data", "image_base64"):
        path = write(tmp_path / "mix.json", [{"image": {key: base64.b64encode(data).decode(), "path": None}}])
        assert [each["sha256"] for *_, each in images_of(path, "llava")] == [hashlib.sha256(data).hexdigest()]


def test_base64_is_read_as_some_write_it(tmp_path):
    data = b"\xff\xd8\xff" + bytes(range(256)) + b"x"
    plain = base64.b64encode(data).decode()
    written = [plain.rstrip("="), plain.replace("+", "-").replace("/", "_"), base64.encodebytes(data).decode()]
    path = write(tmp_path / "mix.json", [{"image": f"data:image/jpeg;base64,{each}"} for each in written])
    pq.write_table(pa.table({"image": [f"data:image/jpeg;base64,{each}" for each in written]}), tmp_path / "a.parquet")
    for file, form in ((path, "llava"), (tmp_path / "a.parquet", "parquet")):
        assert [image["data"] for *_, image in images_of(file, form, data=True)] == [data] * 3


def test_images_whose_letters_are_written_as_escapes(tmp_path):
    path = tmp_path / "mix.json"
    path.write_text(r'[{"\u0069mage": "a.jpg"}, {"messages": [{"content": "\u003cimg\u003eb.jpg\u003c/img\u003e"}]}]')
    assert names_of(path) == [["a.jpg"], ["b.jpg"]]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("[]{},:\"\\\n \u00e9猫\ud800'a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"{]', max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def records(draw):
    name = draw(st.none() | st.text('a/}]"\\é猫', min_size=1))
    fields = [("image", name)] if name is not None else []
    extra = draw(st.dictionaries(st.sampled_from(["x", "conversations", "y z"]), VALUES, max_size=3))
    return dict(draw(st.permutations([*fields, *extra.items()])))


@given(
    st.lists(st.tuples(records(), st.booleans()), max_size=20),
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["", " ", "\n", "\t\r\n"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 7, 64, 1 << 20]),
)
@settings(max_examples=50, deadline=None)
def test_kept_records_stay_byte_for_byte(tmp_path_factory, drawn, indent, space, ascii_only, is_lines, window):
    folder = tmp_path_factory.getbasetemp()
    texts = [
        json.dumps(record, indent=None if is_lines else indent, ensure_ascii=ascii_only).encode(
            errors="backslashreplace"
        )
        for record, _ in drawn
    ]
    gap = space.encode()
    if is_lines:
        path, whole = folder / "p.jsonl", b"".join(text + gap.replace(b"\n", b"") + b"\n" for text in texts)
    else:
        path, whole = folder / "p.json", gap + b"[" + gap + (gap + b"," + gap).join(texts) + gap + b"]" + gap
    path.write_bytes(whole)
    keep = [bit for _, bit in drawn]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "WINDOW", window)
        patch.setattr(json_records, "_WALKED", 1)
        spans = [window.spans for window in json_records.windows(path)]
        assert [whole[a:b].strip() for part in spans for a, b in part] == texts
        if drawn and any("image" in record for record, _ in drawn):
            images = names_of(path)
            assert images == [[record["image"]] if "image" in record else [] for record, _ in drawn]
        write_kept(path, "llava", keep, folder / f"out{path.suffix}")
    written = (folder / f"out{path.suffix}").read_bytes()
    kept = [text for text, bit in zip(texts, keep, strict=True) if bit]
    if all(keep):
        assert written == whole
    if is_lines:
        assert [line.strip() for line in written.splitlines() if line.strip()] == kept
    else:
        assert json.dumps(json.loads(written)) == json.dumps([json.loads(text) for text in kept])
        left = iter(written.split(kept[0], 1)) if kept else iter(())
        assert not kept or next(left).strip() == b"["
        assert all(text in written for text in kept)


PLAIN_NAMES = st.sampled_from(["a.jpg", "b/[<image>.jpg", "http://a/1.jpg", "é" * 200, ""])
SAID = st.sampled_from(["<image>\nIs it?", "<img>c.jpg</img>", "box: [0.1, 2]", 'a"}]}, {"id": 1', "<b>"])
BLOCK = st.sampled_from([{"type": "image", "image": "d.jpg"}, {"image_url": {"url": "http://a/2"}}, 1, "<img>e</img>"])
TURN = st.fixed_dictionaries({"from": st.just("human"), "value": SAID | st.lists(BLOCK, max_size=2) | BLOCK})


@st.composite
def plain_records(draw):
    fields = {"id": st.integers() | st.text(max_size=3), "image": PLAIN_NAMES | st.none(), "model": st.just("m")}
    drawn = {**draw(st.fixed_dictionaries({}, optional=fields)), "conversations": draw(st.lists(TURN, max_size=2))}
    return {name: drawn[name] for name in (draw(st.permutations(sorted(drawn))) if draw(st.booleans()) else drawn)}


MIXES = st.lists(plain_records() | st.just({"image": "f.jpg"}), min_size=2, max_size=6)


BLOCKS = [{"from": "human", "value": [1, {"type": "image", "image": "d.jpg"}]}, {"from": "gpt", "value": "<b>"}]


@given(MIXES, st.sampled_from([None, 0, 2]), st.booleans())
@example([{"id": n, "conversations": BLOCKS} for n in range(3)], None, False)
@example([{"id": n, "conversations": BLOCKS} for n in range(3)], 2, False)
@settings(max_examples=50, deadline=None)
def test_records_read_together_are_read_as_alone_and_stand_where_they_do(tmp_path_factory, drawn, indent, escapes):
    folder = tmp_path_factory.getbasetemp()
    texts = [json.dumps(record, indent=indent).replace("<", "\\u003c" if escapes else "<") for record in drawn]
    whole = ",\n ".join(texts).join("[]")
    (folder / "q.json").write_text(whole)
    (folder / "q.jsonl").write_text("".join(text.replace("\n", "") + "\n" for text in texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "_WALKED", 1)
        together = batches_of(folder / "q.json", "llava", spans=True)
        assert [whole[a:b] for batch in together for a, b in batch.spans] == texts
        assert images_of(folder / "q.json", "llava") == images_of(folder / "q.jsonl", "llava")
        last = frozenset([len(drawn) - 1])
        said = [
            texts
            for batch in batches_of(folder / "q.json", "llava", texts=True, texts_of=last)
            for texts in batch.texts
        ]
    assert ids_of(folder / "q.json", "llava") == ids_of(folder / "q.jsonl", "llava")
    assert said[-1].as_py() == texts_of(folder / "q.jsonl", "llava")[-1]


def test_guesses_hold_on_ordinary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(json_records, "WINDOW", 1 << 14)
    for how in ({}, {"indent": 2}, {"separators": (",", ":")}):
        path = write(
            tmp_path / "mix.json", [{"id": n, "image": f"{n}.jpg", "conversations": TURNS} for n in range(2000)], **how
        )
        assert max(len(window.records) for window in json_records.windows(path)) > 20 or how.get("indent")
        assert names_of(path) == [[f"{n}.jpg"] for n in range(2000)]


def test_packed_files_stay_packed(tmp_path):
    path = tmp_path / "mix.jsonl.gz"
    lines = [json.dumps({"id": n, "image": f"{n}.jpg"}).encode() + b"\n" for n in range(50)]
    path.write_bytes(gzip.compress(b"".join(lines)))
    write_kept(path, "llava", [n % 3 > 0 for n in range(50)], tmp_path / "out.jsonl.gz")
    kept = b"".join(line for n, line in enumerate(lines) if n % 3)
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == kept


def test_damaged_lines_are_counted_and_kept(tmp_path):
    path = tmp_path / "mix.jsonl"
    lines = [
        b'{"image": "1.jpg"}',
        b'{"image": "2',
        b"\0\0",
        b'{"image": "3.jpg"}{}',
        b"[" * 5000,
        b'{"image": "4.jpg"}',
    ]
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(lines))
    assert names_of(path) == [["1.jpg"], [], [], [], [], ["4.jpg"]]
    assert sorted(damaged_of(path, "llava")) == [1, 2, 3, 4]
    write_kept(path, "llava", [False, True, True, True, True, False], tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == b"\xef\xbb\xbf" + b"\r\n\r\n".join([*lines[1:5], b""])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"data": [{"image": "1.jpg"}]}', "whose field 'data' holds the records; write a record a line: jq -c '.["),
        ('{"a": {"image": "1.jpg"}, "b": {}}', "holds each record under a name, such as 'a'; write a record a line"),
        ('[{"image": "1.jpg"}, {"image": "2', "record 1: is cut off"),
        ('[{"image": "1.jpg"}, {"image": "2.jpg"}', "record 1: is cut off"),
        ('[{"image": "1.jpg"},', "record 1: is cut off"),
        ('[{"image": "1.jpg"} {"image": "2.jpg"}]', "record 0: ends with neither a comma"),
        ('[{"image": "1.jpg"}, ]', "record 1: is not JSON"),
        ('[{"image": "1.jpg"}, {"a": \0}]', "record 1: is not JSON"),
        ('[{"image": "1.jpg"}, 5]', "record 1: is neither an object nor a list"),
        ('[{"image": "1.jpg"}]\n[{"image": "2.jpg"}]', "name it .jsonl"),
        ('[{"image": "1.jpg", "x": ' + "[" * 9999 + "]" * 9999 + "}]", "record 0: is nested too deeply"),
        ('[{"shown": "1"}]', "names images in no known field; its records have 'shown'"),
        ('[{"image": "' + "a" * 70000 + '"}]', "record 0: its image name has 70,000 characters"),
        ("no JSON\n", "record 0: is not JSON"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "mix.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"^[^\n]*$") as error:
        names_of(path)
    assert said in str(error.value)


def test_a_record_longer_than_every_window(tmp_path):
    path = write(
        tmp_path / "mix.json", [{"image": "1.jpg"}, {"x": '"[' * 2_000_000, "image": "2.jpg"}, {"image": "3.jpg"}]
    )
    assert names_of(path) == [["1.jpg"], ["2.jpg"], ["3.jpg"]]


REAL = Path(os.environ.get("VLMT_REAL_DATA", "/nowhere")) / "mixtures"


@pytest.mark.skipif(not REAL.is_dir(), reason="VLMT_REAL_DATA has no mixtures")
@pytest.mark.parametrize(
    ("name", "form", "images"),
    [
        ("qwen/single_images.json", "llava", 3),
        ("qwen/video.json", "llava", 0),
        ("llamafactory/mllm_demo.json", "messages", None),
        ("llamafactory/v1_multimodal_demo.jsonl", "messages", None),
        ("ms_swift/multi_modal_1.jsonl", "messages", 3),
        ("ms_swift/multi_modal_2.jsonl", "messages", 5),
        ("ms_swift/multi_modal_3.jsonl", "messages", 3),
        ("ms_swift/chatml.jsonl", "messages", 0),
    ],
)
def test_real_files(tmp_path, name, form, images):
    path = REAL / name
    assert next(key for key, each in FORMS.items() if each.is_form(path, path.read_bytes()[:65536])) == form
    shown = names_of(path, form)
    text = path.read_text()
    records = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines() if line]
    assert len(shown) == len(records)
    if images is None:
        images = text.count("mllm_demo_data")
    assert sum(map(len, shown)) == images
    write_kept(path, form, [n != 1 for n in range(len(records))], tmp_path / path.name)
    assert names_of(tmp_path / path.name, form) == shown[:1] + shown[2:]
