"""Encoded images: decoded whole or refused."""

import contextlib

import cv2
import numpy as np

from ..errors import PosekitError


def decode(data: bytes | np.ndarray, where: str, upright: bool = False) -> np.ndarray:
    """Decode an encoded image to (h, w, 3) uint8 RGB, or name what is broken.

    Args:
        data: the bytes of the file.
        where: its name in the error.
        upright: turn it as the camera says; annotations are of the pixels as they are stored.

    Raises:
        PosekitError: it is no image, or not a whole one.
    """
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    image = None
    if is_whole(bytes(data)):
        with contextlib.suppress(cv2.error):  # dimensions beyond OpenCV's limit
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise PosekitError(
            f"{where} is not a readable image: replace the file or remove its record"
        )
    return image


def is_whole(data: bytes) -> bool:
    """Whether an encoded image has its end: OpenCV fills what a JPEG lacks with grey, silently."""
    if not data.startswith(b"\xff\xd8"):
        return len(data) > 0
    # Inside the compressed scan no end marker can occur, so it has to come after the last scan.
    return data.endswith(b"\xff\xd9") or data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
