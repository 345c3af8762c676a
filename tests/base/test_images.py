"""Decoding what people's photo folders hold."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

from vlmt_cli.base.images import is_image, open_image, read_image, why_unreadable
from vlmt_cli.clean.greys import looks_of_image
from vlmt_cli.clean.looks import distances


@pytest.fixture(scope="module")
def photo():
    colours = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((320, 240), Image.Resampling.BICUBIC)


def encoded(picture, form="JPEG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def bits_between(one, other):
    return int(distances(looks_of_image(one)[:1], looks_of_image(other)[:1])[0][0])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("bytes_lost", [2, 20, 100])
def test_a_jpeg_without_its_tail_is_the_photo(photo, tmp_path, mode, progressive, bytes_lost):
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    data = encoded(photo.convert(mode), progressive=progressive, quality=90)
    whole.write_bytes(data)
    cut.write_bytes(data[:-bytes_lost])
    one, other = open_image(str(whole)), open_image(str(cut))
    assert one.size == other.size and one.mode == other.mode == "RGB"
    assert bits_between(one, other) <= 24


def test_a_jpeg_without_its_tail_is_turned_as_its_exif_says(photo, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "cut.jpg").write_bytes(encoded(photo, exif=turned)[:-20])
    assert open_image(str(tmp_path / "cut.jpg")).size == (240, 320)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_jpeg_of_which_more_is_missing_is_cut_short(photo, tmp_path, share):
    data = encoded(photo)
    (tmp_path / "cut.jpg").write_bytes(data[: round(len(data) * (1 - share))])
    assert "cut short" in read_image(str(tmp_path / "cut.jpg"))


def test_other_formats_that_are_cut_are_damaged_and_no_switch_is_left_turned(photo, tmp_path):
    (tmp_path / "cut.png").write_bytes(encoded(photo, "PNG")[:5000])
    (tmp_path / "cut.jpg").write_bytes(encoded(photo)[:-20])
    open_image(str(tmp_path / "cut.jpg"))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert isinstance(read_image(str(tmp_path / "cut.png")), str)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP", "BMP", "JPEG2000", "PPM", "AVIF"])
def test_what_decodes_is_an_image_whatever_its_name(photo, tmp_path, form):
    Image.init()
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {form}")
    path = tmp_path / "1620893517"
    path.write_bytes(encoded(photo, form))
    assert is_image(str(path)) and bits_between(open_image(str(path)), photo) <= 8


def test_a_format_whose_decoder_starts_other_programs_is_not_opened(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    assert not is_image(str(path)) and "cannot identify" in read_image(str(path))
    with pytest.raises(UnidentifiedImageError) as error:
        Image.open(io.BytesIO(path.read_bytes()), formats=["JPEG"])
    assert why_unreadable(error.value, "1.jpg") == "cannot identify image file"  # and no address in memory
