"""What all writers of the sample share: version, random numbers, files of constant bytes."""

import json
from pathlib import Path

import cv2
import numpy as np

from ...errors import PosekitError

VERSION = 1


def generator(stream: int, index: int) -> np.random.Generator:
    """The generator of one image or sequence; every data set has a stream of its own."""
    return np.random.default_rng([VERSION, stream, index])


def save_image(path: Path, image: np.ndarray) -> None:
    """Write an image (h, w, 3) BGR as JPEG."""
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise PosekitError(f"cannot encode {path}: is this build of OpenCV without JPEG?")
    path.write_bytes(encoded.tobytes())


def save_mat(path: Path, fields: dict) -> None:
    """Write a .mat file without the time of writing in its header."""
    from scipy.io import savemat

    savemat(path, fields)
    with path.open("r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file, posekit sample".ljust(116))


def save_json(path: Path, content: object) -> None:
    """Write JSON without spaces."""
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
