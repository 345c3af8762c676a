"""Tar files of webdataset and img2dataset, held against Python's own tarfile."""

import gzip
import io
import json
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures.records import damaged_of, ids_of, images_of, texts_of, write_kept

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures.forms import FORMS


def member(name, data=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(path, members, kind=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w:", format=kind) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data) if info.size else None)
    return path


def members_of(path):
    """Read all that an archive holds, headers included."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".tgz" else path.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as file:
        infos = file.getmembers()
    ends = (
        [*(info.offset for info in infos[1:]), infos[-1].offset_data + -(-infos[-1].size // 512) * 512] if infos else []
    )
    return [(info.name, content[info.offset : end]) for info, end in zip(infos, ends, strict=True)]


def test_records_of_several_members(tmp_path):
    said = {"url": "http://a/1.jpg", "sha256": "A" * 64, "key": "000010005", "caption": "a bus"}
    file = tar(
        tmp_path / "a.tar",
        [
            member("000010005.jpg", b"one"),
            member("000010005.txt", b"a bus"),
            member("000010005.json", json.dumps(said).encode()),
            member("sub", b"", type=tarfile.DIRTYPE),
            member("sub/COCO_val2014_000000262148.left.jpg", b"two"),
            member("sub/COCO_val2014_000000262148.right.JPG", b"three"),
            member("README", b"no record"),
            member("x.json", b'{"file_name": "coco/train2017/000000000009.jpg"}'),
            member("x.png", b"four"),
            member("y.cls", b"7"),
            member("z.mp4", b"film"),
        ],
    )
    assert FORMS["webdataset"].is_form(file, file.read_bytes()[:1024])
    assert images_of(file, "webdataset") == [
        (0, 0, {"url": "http://a/1.jpg", "sha256": "a" * 64}),  # its name is a counter
        (1, 0, {"name": "sub/COCO_val2014_000000262148.left.jpg"}),
        (1, 1, {"name": "sub/COCO_val2014_000000262148.right.JPG"}),
        (2, 0, {"name": "coco/train2017/000000000009.jpg", "also": ["x.png"]}),
    ]
    assert [image["data"] for _, _, image in images_of(file, "webdataset", data=True)] == [
        b"one",
        b"two",
        b"three",
        b"four",
    ]
    assert ids_of(file, "webdataset") == ["000010005", "sub/COCO_val2014_000000262148", "x", "y", "z"]
    assert texts_of(file, "webdataset")[0] == ["a bus", "a bus"]

    write_kept(file, "webdataset", [False, True, False, False, True], tmp_path / "b.tar")
    left = ("sub", "README", "z.mp4")
    assert members_of(tmp_path / "b.tar") == [entry for entry in members_of(file) if entry[0].startswith(left)]


@settings(max_examples=40)
@given(
    stems=st.lists(st.text("ab/é.", min_size=1, max_size=9) | st.just("long/" * 40 + "name"), min_size=1, max_size=8),
    bits=st.integers(0, 255),
    kind=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    name=st.sampled_from(["a.tar", "a.tgz"]),
)
def test_the_kept_members_stay_byte_for_byte(tmp_path_factory, stems, bits, kind, name):
    folder = tmp_path_factory.mktemp("kept")
    stems = [f"{number}-{stem.strip('/').replace('.', '')}x" for number, stem in enumerate(stems)]
    members = [member(f"{stem}.{end}", end.encode() * 300) for stem in stems for end in ("jpg", "txt")]
    file = tar(folder / name, members, kind)
    keep = [bool(bits >> number & 1) for number in range(len(stems))]
    write_kept(file, "webdataset", keep, folder / f"new-{name}")

    kept = [stem for stem, stays in zip(stems, keep, strict=True) if stays]
    assert members_of(folder / f"new-{name}") == [e for e in members_of(file) if e[0].rpartition(".")[0] in kept]
    assert ids_of(folder / f"new-{name}", "webdataset") == kept
    assert [image["name"] for _, _, image in images_of(file, "webdataset")] == [f"{stem}.jpg" for stem in stems]
    if all(keep) and name == "a.tar":
        assert (folder / f"new-{name}").read_bytes() == file.read_bytes()


def test_hostile_members_are_named_and_never_followed(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    hostile = [
        member("/etc/passwd.jpg"),
        member("a/../../up.jpg"),
        member("link.jpg", b"", type=tarfile.SYMTYPE, linkname="../secret.jpg"),
        member("hard.jpg", b"", type=tarfile.LNKTYPE, linkname="secret.jpg"),
        member("device.jpg", b"", type=tarfile.CHRTYPE),
        member("pipe.jpg", b"", type=tarfile.FIFOTYPE),
        member("sparse.jpg", b"x", pax_headers={"GNU.sparse.major": "1"}),
        member("good.jpg", b"y"),
    ]
    file = tar(tmp_path / "a.tar", hostile)
    named = damaged_of(file, "webdataset")
    words = ("outside the archive", "outside the archive", "a link", "a link", "a device", "a pipe", "a sparse file")
    assert len(named) == 7
    assert all(word in named[number] for number, word in enumerate(words))
    assert images_of(file, "webdataset", data=True) == [(7, 0, {"name": "good.jpg", "data": b"y"})]


def test_damaged_archives_are_said_in_one_line_and_nothing_is_written(tmp_path):
    file = tar(tmp_path / "a.tar", [member(f"{n}.jpg", b"x" * 600) for n in range(5)], tarfile.USTAR_FORMAT)
    content = file.read_bytes()
    bad = tmp_path / "bad.tar"
    huge = bytearray(content[:512])
    huge[124:136] = b"\x80" + b"\x00" * 3 + b"\x7f" + b"\xff" * 7
    huge[148:156] = b"%06o\0 " % (sum(huge[:148]) + 256 + sum(huge[156:512]))
    for damaged, words in (
        (content[: 3 * 1536 + 700], "record 3: is cut off"),
        (content[: 3 * 1536 + 200], "record 2: is cut off"),
        (content[:1536] + b"\x01" * 512 + content[2048:], "record 0: has a damaged header"),
        (content + content, "record 4: goes on after its end"),
        (bytes(huge) + content[512:], "record 0: (has a member of an impossible size|is cut off)"),
        (b"\x01" * 2000, "record 0: is not a tar file"),
    ):
        bad.write_bytes(damaged)
        with pytest.raises(DataError, match=words):
            images_of(bad, "webdataset")
        with pytest.raises(DataError, match=words):
            write_kept(bad, "webdataset", [True] * 9, tmp_path / "new.tar")
    bomb = tmp_path / "bomb.tgz"
    bomb.write_bytes(gzip.compress(tar(tmp_path / "zeros.tar", [member("a.jpg", bytes(100 << 20))]).read_bytes(), 9))
    with pytest.raises(DataError, match="unpacks to more than"):
        images_of(bomb, "webdataset")
    assert not list(tmp_path.glob("*new*"))


def test_records_of_one_stem_are_not_joined(tmp_path):
    file = tar(tmp_path / "a.tar", [member("a.jpg"), member("b.jpg"), member("a.png")])
    assert ids_of(file, "webdataset") == ["a", "b", "a"]
    write_kept(file, "webdataset", [True, True, True], tmp_path / "b.tar")
    with pytest.raises(DataError, match="record 2: has the stem of record 0, 'a'"):
        write_kept(file, "webdataset", [True, False, True], tmp_path / "b.tar")


def test_json_members_say_what_such_records_say_alone(tmp_path):
    url, name = "http://images.cocodataset.org/train2017/000000000042.jpg", "coco/train2017/000000000042.jpg"
    said = [{"coco_url": url}, {"Image_Path": name}, [{"image": name}], {"url": "http://a/1", "coco_url": url}]
    said += [{"conversations": [{"from": "human", "value": f"<img>{name}</img>"}]}, {"images": ["x.png", name]}]
    members = [member(f"{n}.json", json.dumps(each).encode()) for n, each in enumerate(said)]
    pictures = [
        member(f"{n}.{part}", b"x") for n in range(len(said)) for part in (("a.jpg", "b.jpg") if n == 5 else ["jpg"])
    ]
    order = sorted([*members, *pictures], key=lambda each: each[0].name)
    images = images_of(tar(tmp_path / "a.tar", order), "webdataset")
    assert [record for record, _, _ in images] == [0, 1, 2, 3, 4, 5, 5]
    shown = [{each.get("name"), each.get("url"), *each.get("also", ())} for _, _, each in images]
    wanted = [url, name, name, url, name, "x.png", name]
    assert all(each in had for each, had in zip(wanted, shown, strict=True))


def test_json_members_that_are_none(tmp_path):
    file = tar(tmp_path / "a.tar", [member("a.jpg"), member("a.json", b"{"), member("b.jpg"), member("b.json", b"[1]")])
    assert "'a.json' is not JSON" in damaged_of(file, "webdataset")[0]
    assert images_of(file, "webdataset") == [(1, 0, {"name": "b.jpg"})]


def test_img2dataset_writes_table_and_counts_with_the_tar_file(tmp_path):
    said = [{"url": f"http://a/{n}", "key": f"0000{n}", "sha256": f"{n}" * 64} for n in range(3)]
    members = [
        m for row in said for m in (member(f"{row['key']}.jpg"), member(f"{row['key']}.json", json.dumps(row).encode()))
    ]
    file = tar(tmp_path / "00000.tar", members, tarfile.GNU_FORMAT)
    rows = [*said, {"url": "http://gone", "key": "00003", "sha256": None}]
    table = pa.table(
        {name: [row[name] for row in rows] for name in ("url", "key", "sha256")}
        | {"status": ["success"] * 3 + ["failed"]}
    )
    pq.write_table(table, tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text('{"count": 4, "successes": 3, "status_dict": {"success": 3, "404": 1}}')
    assert FORMS["img2dataset"].is_form(file, file.read_bytes()[:1024])
    assert [path.name for path in FORMS["img2dataset"].companions(file)] == ["00000.parquet", "00000_stats.json"]
    assert images_of(file, "img2dataset") == [(n, 0, {"url": f"http://a/{n}", "sha256": f"{n}" * 64}) for n in range(3)]

    write_kept(file, "img2dataset", [True, False, True], tmp_path / "new/00000.tar")
    assert [url for _, _, image in images_of(tmp_path / "new/00000.tar", "img2dataset") if (url := image["url"])] == [
        "http://a/0",
        "http://a/2",
    ]
    assert pq.read_table(tmp_path / "new/00000.parquet").equals(table.take([0, 2, 3]), check_metadata=True)
    (tmp_path / "00000_stats.json").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"00000_stats\.json: is not JSON"):
        write_kept(file, "img2dataset", [True, False, True], tmp_path / "newer/00000.tar")
    assert not (tmp_path / "newer").exists()
    counts = json.loads((tmp_path / "new/00000_stats.json").read_text())
    assert counts == {"count": 3, "successes": 2, "status_dict": {"success": 2, "404": 1}}


def test_real_archive(real_data, tmp_path):
    file = tmp_path / "sample.tgz"
    shutil.copyfile(real_data / "mixtures/webdataset/sample.tgz", file)
    with tarfile.open(file) as opened:
        stems = list(dict.fromkeys(name.partition(".")[0] for name in opened.getnames()))
    assert ids_of(file, "webdataset") == stems
    assert [image["name"] for _, _, image in images_of(file, "webdataset")] == [f"{stem}.png" for stem in stems]
    keep = [number % 2 == 0 for number in range(len(stems))]
    write_kept(file, "webdataset", keep, tmp_path / "new.tgz")
    assert members_of(tmp_path / "new.tgz") == [e for e in members_of(file) if e[0].partition(".")[0] in stems[::2]]
