"""Where the crop of a person lies, and how it is cut."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.crops import aspect_box, box_to_square, crop_matrix


@dataclass(frozen=True)
class Framing:
    """How a person's box becomes a crop.

    Attributes:
        image_size: (h, w) of the crop.
        padding: factor on the box.
        half_pixel: the crop spans -0.5 .. w - 0.5 and the box becomes a square, as for pose
            machines; otherwise 0 .. w and a box of the crop's aspect, as for HRNet and its
            relatives.
        drop: moves the centre down by this share of the box's height: HRNet's 15 of 200 pixels on
            MPII, whose boxes sit high.
        fill: grey value of what lies outside the image.
    """

    image_size: tuple[int, int]
    padding: float
    half_pixel: bool = True
    drop: float = 0.0
    fill: int = 128

    def place(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres (N, 2) and sides (N,) of the crops of boxes (N, 4), image pixels.

        A side is what fills the crop's longer side, or its width without `half_pixel`.
        """
        boxes = np.asarray(boxes, float)
        lowered = boxes + self.drop * (boxes[:, 3:] - boxes[:, 1:2]) * [0, 1, 0, 1]
        if self.half_pixel:
            return box_to_square(lowered, self.padding)
        h, w = self.image_size
        centres, sizes = aspect_box(lowered, w / h, self.padding)
        return centres, sizes[:, 0]

    def areas(self, sides: np.ndarray) -> np.ndarray:
        """Square image pixels (N,) that crops of these sides cover."""
        h, w = self.image_size
        return sides**2 * (h * w / max(h, w) ** 2 if self.half_pixel else h / w)

    def matrix(
        self,
        centre: np.ndarray,
        side: float | np.ndarray,
        rotation: float = 0.0,
        flip: bool = False,
    ) -> np.ndarray:
        """The maps (..., 2, 3) from image to crop pixels, for centres (..., 2) and sides (...)."""
        return crop_matrix(centre, side, self.image_size, rotation, flip, self.half_pixel)

    def zoom(self, scale: float) -> np.ndarray:
        """The map (2, 3) from pixels of a crop to those where its side is divided by this."""
        whole = self.matrix(np.zeros(2), 1.0)
        return self.matrix(whole[:, 2], whole[0, 0] / scale)

    def cut(self, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The crop (h, w, 3) of an image (H, W, 3) that `matrix` (2, 3) maps to it."""
        (h, w), fill = self.image_size, (self.fill,) * 3
        return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR, borderValue=fill)


def well_centred(
    keypoints: np.ndarray, visible: np.ndarray, centres: np.ndarray, areas: np.ndarray
) -> np.ndarray:
    """People whose visible joints lie about the middle of their crop (HRNet's SELECT_DATA).

    Kept is who has exp(-d^2 / (2 0.2^2 area)) > 0.45 + (n - 1) 0.2 / 16, d the distance from the
    mean of the n visible joints to the centre: the more joints, the nearer they have to be.

    Args:
        keypoints: (N, K, 2) image pixels.
        visible: (N, K) bool.
        centres: (N, 2) of the crops, image pixels.
        areas: (N,) of the crops, square pixels.

    Returns:
        (N,) bool, False without a visible joint.
    """
    count = visible.sum(-1)
    mean = np.where(visible[..., None], keypoints, 0).sum(1) / count.clip(1)[:, None]
    near = np.exp(-np.square(mean - centres).sum(-1) / (2 * 0.2**2 * areas))
    return (count > 0) & (near > 0.45 + (count - 1) * 0.2 / 16)
