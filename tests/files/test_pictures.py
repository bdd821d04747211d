"""Pixels of image files are those that OpenCV finds, whoever decodes them."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from posekit.errors import PosekitError
from posekit.files.reading import decode

RNG = np.random.default_rng(0)
PIXELS = cv2.GaussianBlur(RNG.integers(0, 256, (97, 131, 3), np.uint8), (5, 5), 0)


def encoded(mode="RGB", kind="JPEG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


def opencv(data: bytes, flags=cv2.IMREAD_IGNORE_ORIENTATION) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | flags)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
def test_pixels_are_those_of_opencv(mode):
    options = [{"quality": 30}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}]
    for data in [encoded(mode, **option) for option in options]:
        assert np.array_equal(decode(data, "a picture"), opencv(data))
    if mode in ("RGB", "L"):
        data = encoded(mode, "PNG")
        assert np.array_equal(decode(data, "a picture"), opencv(data))


def test_a_turned_camera():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    data = encoded(exif=exif)
    assert decode(data, "a picture").shape == (97, 131, 3)
    assert decode(data, "a picture", upright=True).shape == (131, 97, 3)


def test_damaged_bytes_change_nothing_about_that():
    whole, refused, equal = encoded(), 0, 0
    for _ in range(300):
        data = bytearray(whole)
        for place in RNG.integers(2, len(data) - 2, 3):
            data[place] = RNG.integers(256)
        try:
            expected = opencv(bytes(data))
        except cv2.error:
            expected = None
        if expected is None:
            refused += 1
            with pytest.raises(PosekitError, match="a picture is not a readable image"):
                decode(bytes(data), "a picture")
        else:
            try:
                equal += np.array_equal(decode(bytes(data), "a picture"), expected)
            except PosekitError:  # an end marker was hit: the file is not whole
                refused += 1
    assert equal + refused == 300 and equal > 200


def test_a_jpeg_that_claims_too_many_pixels():
    data = encoded()
    size = data.index(b"\xff\xc0") + 5  # height and width in the frame header
    data = data[:size] + b"\xff\xdc\xff\xdc" + data[size + 4 :]
    with pytest.raises(PosekitError, match="a picture is not a readable image"):
        decode(data, "a picture")
