"""From annotations to training samples: windows of frames, one crop per clip, augmentation.

Workers return uint8 crops, keypoints and visibility; normalisation and targets are made once per
batch on the device.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import PosekitError
from ..geometry.crops import invert, transform, union_box
from ..geometry.skeletons import Skeleton, convert
from .annotations import Annotations
from .crop_cache import CropCache
from .framing import Framing
from .transforms import Donor, Person, Placement, Sample, Transform, by_kind

Share = tuple[int, int]  # the number of a process, and how many there are


def windows(sequence: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut sequences into clips of `frames` frames that together show every frame.

    Clips follow one another without overlap; the last one of a sequence is moved back so that it is
    full. A sequence shorter than a clip repeats its last frame. Every frame is scored exactly once,
    at its first full showing, or the last one if it is repeated.

    Args:
        sequence: (N,) sequence of each row, equal ones together.
        frames: T.

    Returns:
        rows (C, T) and scored (C, T) bool.
    """
    starts = np.flatnonzero(np.r_[True, sequence[1:] != sequence[:-1]])
    ends = np.r_[starts[1:], len(sequence)]
    counts = -(-(ends - starts) // frames)  # clips of each sequence
    start, end = np.repeat(starts, counts), np.repeat(ends, counts)  # (C,), where a clip belongs
    earlier = np.repeat(np.cumsum(counts) - counts, counts)  # clips of the sequences before
    first = start + frames * (np.arange(len(start)) - earlier)  # the frames before have been shown
    clip = np.minimum(first, np.maximum(start, end - frames))[:, None] + np.arange(frames)
    scored = clip >= first[:, None]
    scored[:, :-1] &= clip[:, 1:] < end[:, None]  # of a repeated frame only the last showing
    return np.minimum(clip, end[:, None] - 1), scored


@dataclass(eq=False)
class Clips(Dataset):
    """Clips of T frames of one person, cropped around the union of the clip's boxes.

    Indexed by (epoch, clip): the random numbers of a sample depend on (seed, epoch, clip) alone, so
    results do not depend on the number of workers.

    Args:
        people: the rows to cut into clips.
        skeleton: the network's joints.
        frames: T; "all" for networks that carry a state through a video: each frame is a clip, cut
            about its own box, at one size for the video, as LPM's release tests.
        framing: how a box becomes a crop.
        transforms: the augmentation, see `data.transforms`; none for testing. The attribute is a
            list that may be changed before an epoch starts.
        seed: of the augmentation.
        random_start: clips of several frames begin anywhere in their sequence, drawn anew in every
            epoch, as LPM's release trains.
        scales: sizes of the person, each of which is cut from the image; for testing.
        with_everybody: samples also hold the joints of everybody in the image.
        share_decode: shuffled, people of one image follow one another, so that it is decoded once;
            they come into the same batch, which is less varied than by chance.
        crops: cuts from a cache, for training; see `CropCache`.
    """

    people: Annotations
    skeleton: Skeleton
    frames: int | Literal["all"]
    framing: Framing
    transforms: Sequence[Transform] = ()
    seed: int = 0
    random_start: bool = False
    scales: Sequence[float] | None = None
    with_everybody: bool = False
    share_decode: bool = False
    crops: CropCache | None = None

    def __post_init__(self) -> None:
        people, self.transforms = self.people, list(self.transforms)
        self._donors: dict[tuple[int, int], Donor] = {}
        self._images: dict[str, np.ndarray] = {}  # of the last sample, by name
        whole = self.frames == "all"
        self.rows, self.scored = windows(people.sequence, 1 if whole else self.frames)
        self.keypoints, self.visible = convert(
            people.keypoints, people.visible, people.skeleton, self.skeleton
        )
        self.centres, self.sides = self.framing.place(union_box(people.boxes[self.rows]))
        if whole:
            _, video = np.unique(people.sequence, return_inverse=True)
            largest = np.zeros(len(video))
            np.maximum.at(largest, video, self.sides)
            self.sides = largest[video]
        self.clip_of_row = np.empty(len(people), dtype=int)
        self.clip_of_row[self.rows[self.scored]] = np.nonzero(self.scored)[0]
        if self.with_everybody:
            self.everybody, self.present = people.everybody(self.skeleton)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def matrices(self) -> np.ndarray:
        """The maps (C, 2, 3) from image to crop pixels without augmentation."""
        return self.framing.matrix(self.centres, self.sides)

    @property
    def image_size(self) -> tuple[int, int]:
        """(h, w) of the crop."""
        return self.framing.image_size

    def to_crop(self, keypoints: np.ndarray) -> np.ndarray:
        """Image pixels (N, K, 2) of every row to pixels of the crop that the row is scored in."""
        return transform(self.matrices[self.clip_of_row], keypoints)

    def to_image(self, keypoints: np.ndarray) -> np.ndarray:
        """Crop pixels (N, K, 2) of every row to image pixels."""
        return transform(invert(self.matrices[self.clip_of_row]), keypoints)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, np.ndarray]:
        """One sample.

        Returns:
            images (T, 3, h, w) uint8 RGB, with `scales` (T, S, 3, h, w); keypoints (T, K, 2)
            float32 crop pixels; visible (T, K) bool; rows (T,); scored (T,) bool; and
            with_everybody, where any image shows several people, everybody (T, P, K, 2) float32
            crop pixels, NaN where nobody has annotated.
        """
        epoch, clip = key
        rng = np.random.default_rng([self.seed, epoch, clip])
        geometric, photometric = by_kind(self.transforms)
        rows, placement = self.rows[clip], Placement(self.centres[clip], self.sides[clip])
        if self.random_start and len(rows) > 1:
            rows = self._moved(rows, rng)
            box = union_box(self.people.boxes[rows][None])
            placement = Placement(*(values[0] for values in self.framing.place(box)))
        person = Person(self.keypoints[rows[0]], self.visible[rows[0]])
        for move in geometric:
            placement = move.place(placement, person, rng)
        matrix = self.framing.matrix(**vars(placement))
        keypoints, visible = self._joints(rows, matrix)
        if placement.flip:
            keypoints, visible = keypoints[:, self.skeleton.flip], visible[:, self.skeleton.flip]
        sizes = [replace(placement, side=placement.side / scale) for scale in self.scales or ()]
        matrices = [self.framing.matrix(**vars(size)) for size in sizes] or [matrix]
        crops = self._cut(rows, matrices)
        crops = crops if self.scales else crops[:, 0]
        sample = Sample(crops, keypoints, visible, partial(self._donor, epoch, rng))
        for change in photometric:
            sample = change.apply(sample, rng)
        found = {
            "images": _channels_first(sample.crops),
            "keypoints": sample.keypoints,
            "visible": sample.visible,
            "rows": rows,
            "scored": self.scored[clip],
        }
        if self.with_everybody and self.present.shape[1] > 1:
            people = transform(matrix, self.everybody[self.present[rows]]).astype(np.float32)
            found["everybody"] = people[:, :, self.skeleton.flip] if placement.flip else people
        return found

    def _cut(self, rows: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """The crops (T, S, h, w, 3) of some rows."""
        cut = self.crops.cut if self.crops else self._cut_whole
        names, cuts = self.people.image[rows].tolist(), {}
        for row, name in zip(rows, names, strict=True):
            if name not in cuts:
                image = partial(self._image, name)
                cuts[name] = [cut(row, matrix, image) for matrix in matrices]
        self._images = {name: self._images[name] for name in cuts if name in self._images}
        return np.array([cuts[name] for name in names])

    def _cut_whole(self, _: int, matrix: np.ndarray, image: Callable) -> np.ndarray:
        return self.framing.cut(image(), matrix)

    def _image(self, name: str) -> np.ndarray:
        """An image; those of the last sample are not decoded again."""
        if name not in self._images:
            self._images[name] = self.people.images.read(name)
        return self._images[name]

    def _moved(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """As many frames of the same sequence from a random one on, where it has more."""
        own = np.flatnonzero(self.people.sequence == self.people.sequence[rows[0]])
        if len(own) <= self.frames:
            return rows
        return own[rng.integers(len(own) - self.frames + 1) + np.arange(self.frames)]

    def _joints(self, rows: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (T, K, 2) float32 in crop pixels and visible (T, K) of some rows."""
        return transform(matrix, self.keypoints[rows]).astype(np.float32), self.visible[rows]

    def _donor(self, epoch: int, rng: np.random.Generator) -> Donor:
        """A frame of another clip.

        Each epoch has a few donors of its own, which follow from (seed, epoch) alone and are
        cached: so almost no sample decodes a second image.
        """
        count = min(len(self), max(4, min(256, len(self) // 64)))
        key = epoch, int(rng.integers(count))
        if key not in self._donors:
            if self._donors and next(iter(self._donors))[0] != epoch:
                self._donors.clear()
            # No clip has a number from len(self) on: no sample shares the donor's generator.
            chosen = np.random.default_rng([self.seed, epoch, len(self) + key[1]])
            clip = int(chosen.integers(len(self)))
            row, matrix = self.rows[clip, 0], self.matrices[clip]
            crop = self.framing.cut(self.people.read(row), matrix)
            self._donors[key] = Donor(crop, *self._joints(row, matrix))
        return self._donors[key]


def _channels_first(crops: np.ndarray) -> np.ndarray:
    """Crops (..., h, w, 3) as (..., 3, h, w); OpenCV is four times as fast at it as numpy."""
    *lead, h, w, _ = crops.shape
    planes = np.empty((*lead, 3, h, w), crops.dtype)
    for crop, parts in zip(crops.reshape(-1, h, w, 3), planes.reshape(-1, 3, h, w), strict=True):
        cv2.split(crop, list(parts))
    return planes


@dataclass(eq=False)
class EpochSampler(Sampler):
    """Yields (epoch, clip) keys; the order of an epoch depends on (seed, epoch) alone.

    With the number of each clip's image (n_clips,) clips of one image follow one another, and each
    process has its own stretch of the order instead of its part of every batch.
    """

    n_clips: int
    shuffle: bool
    seed: int = 0
    share: Share = (0, 1)
    epoch: int = 0
    images: np.ndarray | None = None

    def __len__(self) -> int:
        return -(-self.n_clips // self.share[1])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order, (number, processes) = np.arange(self.n_clips), self.share
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.shuffle:
            order = rng.permutation(order)
        if together := self.shuffle and self.images is not None:
            place = rng.permutation(self.images.max() + 1)
            order = order[np.argsort(place[self.images[order]], kind="stable")]
        order = np.resize(order, len(self) * processes)
        parts = order.reshape(processes, -1) if together else order.reshape(-1, processes).T
        return ((self.epoch, int(clip)) for clip in parts[number])


def loader(
    clips: Clips, batch_size: int, shuffle: bool, workers: int, pin: bool, share: Share = (0, 1)
) -> DataLoader:
    """Batches of clips; set `loader.sampler.epoch` before each epoch.

    With a share (number, processes), this process loads its part of every batch; the first clips
    of an epoch come twice where they fill up the last part.

    Raises:
        PosekitError: the batch cannot be divided among the processes.
    """
    processes = share[1]
    if batch_size % processes:
        raise PosekitError(f"batch_size={batch_size}: choose a multiple of {processes} processes")
    sampler = EpochSampler(len(clips), shuffle, clips.seed, share)
    if clips.share_decode:
        sampler.images = np.unique(clips.people.image[clips.rows[:, 0]], return_inverse=True)[1]
    return DataLoader(
        clips,
        batch_size // processes,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
    )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
