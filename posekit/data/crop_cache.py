"""The surroundings of people, kept as JPEG files, so that training need not decode whole images."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import PosekitError
from ..files.paths import project_root
from ..files.reading import decode
from ..files.writing import write_bytes
from .annotations import Annotations
from .framing import Framing

_MARGIN = 1.7  # kept side by the longer side of the crop: enough for HRNet's turns and scales
_QUALITY = 95
_SPARE = 4 * 2**30  # bytes of the disk that are left free


@dataclass
class CropCache:
    """A square about each person, one file each, written when it is first asked for.

    It is kept in the image's own pixels, or in those of the crop where these are fewer. Crops that
    reach beyond it are cut from the image. A file is named after all that it depends on but the
    pixels of the image: remove the folder when images have been replaced.

    Attributes:
        people: whose crops.
        framing: how a box becomes a crop.
        folder: of the files; below the data folder of the project when not given.
    """

    people: Annotations
    framing: Framing
    folder: Path | None = None

    def __post_init__(self) -> None:
        self.folder = self.folder or project_root() / "data" / ".cache" / "crops"
        centres, sides = self.framing.place(self.people.boxes)
        scale = self.framing.matrix(centres, sides)[:, 0, 0]  # crop pixels in an image pixel
        reach = _MARGIN / 2 * max(self.framing.image_size) / scale[:, None]
        self._low = (centres - reach).clip(0).astype(int)
        self._high = np.ceil(centres + reach).astype(int)
        self._scale = scale.clip(max=1)
        self._origin = str((self.people.images, _QUALITY)).encode()

    def cut(self, row: int, matrix: np.ndarray, image: Callable[[], np.ndarray]) -> np.ndarray:
        """The crop (h, w, 3) of a row that `matrix` (2, 3) maps to; `image` reads the whole."""
        scale, low, (h, w) = self._scale[row], self._low[row], self.framing.image_size
        linear, shift = matrix[:, :2], matrix[:, 2]
        back = linear.T / (linear[0] @ linear[0])  # its inverse, as it only turns and scales
        middle, reach = back @ ((w / 2, h / 2) - shift), np.abs(back) @ (w / 2, h / 2)
        if ((middle - reach < low) & (low > 0) | (middle + reach > self._high[row])).any():
            return self.framing.cut(image(), matrix)
        corner = low - 0.5 + 0.5 / scale  # the image pixel that the first kept one lies on
        from_kept = matrix / scale
        from_kept[:, 2] = shift + linear @ corner
        return self.framing.cut(self._kept(row, image), from_kept)

    def _kept(self, row: int, image: Callable[[], np.ndarray]) -> np.ndarray:
        """What is kept of a row's person."""
        low, high, scale = self._low[row], self._high[row], self._scale[row]
        parts = self._origin, self.people.image[row].encode(), low, high, scale
        name = hashlib.sha256(b"".join(map(bytes, parts))).hexdigest()[:32]
        path = os.path.join(self.folder, name[:2], f"{name[2:]}.jpg")
        with contextlib.suppress(OSError, PosekitError), open(path, "rb") as file:
            return decode(file.read(), path)
        kept = image()[low[1] : high[1], low[0] : high[0]]
        if not kept.size:  # nothing of the image
            return np.full((1, 1, 3), self.framing.fill, np.uint8)
        if scale < 1:
            kept = cv2.resize(kept, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        quality = cv2.IMWRITE_JPEG_QUALITY, _QUALITY
        data = cv2.imencode(".jpg", kept[..., ::-1], quality)[1].tobytes()
        with contextlib.suppress(OSError, PosekitError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if shutil.disk_usage(self.folder).free > _SPARE:
                write_bytes(Path(path), data)
        return decode(data, path)
