"""What a data set is: its specification and its official protocol."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import PosekitError
from ..files.paths import existing_path
from ..files.words import plain
from ..geometry.skeletons import Skeleton
from ..metrics.mobilepose import mobilepose_pck
from ..metrics.score import Protocol, Score
from .annotations import Annotations, Folder
from .predictions import Predictions, numbers

SPLITS = ("train", "test")
_LABELS = ("*.mat", "*.json", "*.csv", "annotations/*", "labels/*")


class EmptySplit(PosekitError):
    """The data set is there, but nothing of one split: no labels, or no labelled image."""


class NoScore(PosekitError):
    """The files lack what the official protocol needs of the people."""


class Scorer:
    """The official protocol of a data set; `PckScorer` fits most.

    A metric that is a mean over joints is a subclass with `name`, `sentence` and `points`.
    """

    name: str  # of the metric of `points`
    sentence: str  # that defines the numbers
    protocol: Protocol | None = None  # of the PCK family
    splits = ("test",)  # that `score_given` knows

    @property
    def validation_name(self) -> str:
        """The name of the metric of `validation`."""
        return self.name

    def score(self, people: Annotations, found: Predictions, root: Path | None = None) -> Score:
        """The official score of predictions for rows of the data set.

        Args:
            people: N rows.
            found: of these rows, in the joints of the data set.
            root: the data root, for protocols that read files of the data set.
        """
        points = np.where(people.visible, self.points(people, found.keypoints), np.nan)
        groups = people.skeleton.groups.items()
        columns = {name: _mean(points[:, people.skeleton.index(*ours)]) for name, ours in groups}
        joints = dict(zip(people.skeleton.joints, map(_mean, points.T), strict=True))
        return Score(_mean(points), columns, self.name, self.sentence, len(people), joints=joints)

    def joint_scores(
        self, people: Annotations, found: Predictions, joints: Sequence[int], root: Path
    ) -> list[float]:
        """The main number of `score`, with single joints (positions) alone in the truth."""
        points = np.where(people.visible, self.points(people, found.keypoints), np.nan)
        points[~(people.reference > 0)] = np.nan
        return [_mean(points[:, joint]) for joint in joints]

    def validation(self, people: Annotations, keypoints: np.ndarray) -> float:
        """A score for choosing the best epoch, percent, of keypoints (N, K, 2) of rows."""
        return self.score(people, Predictions(keypoints, np.ones(keypoints.shape[:2]))).mean

    def points(self, people: Annotations, keypoints: np.ndarray) -> np.ndarray:
        """Points (N, K), 0 to 100, of every joint of keypoints (N, K, 2); NaN where none count."""
        raise NotImplementedError

    def score_given(self, spec: "DataSet", given: Any, split: str | None, root: Path) -> Score:
        """Score predictions that are in the data set's official format, for `posekit.score`.

        Args:
            spec: of the data set.
            given: what the data set's official evaluation takes.
            split: one of `splits`; None where the caller names none.
            root: the data root.
        """
        people = spec.annotations(spec.need(root), split or "test")
        keypoints = numbers(f"{spec.name} predictions", given)
        if keypoints.shape != people.keypoints.shape:
            raise PosekitError(
                f"{spec.name}: predictions of shape {keypoints.shape}, but the ground truth has "
                f"{people.keypoints.shape} (people, joints of {people.skeleton.name}, x y)"
            )
        return self.score(people, Predictions(keypoints, np.ones(keypoints.shape[:2])))

    def save(self, folder: Path, people: Annotations, found: Predictions) -> Path | None:
        """Write the data set's official prediction file into a folder, where it has one."""

    def score_run(self, people: Annotations, found: Predictions, folder: Path, root: Path) -> Score:
        """The score of a run folder whose saved predictions are `found`."""
        return self.score(people, found, root)

    def mobilepose(self, *joints: np.ndarray, side: float) -> Score:
        """MobilePose-master's lenient score.

        Args:
            joints: found (N, 14, 2) and true ones in pose-machine order, crop pixels, and which
                of these are visible (N, 14).
            side: of the crop.
        """
        return mobilepose_pck(*joints)


class Sample(NamedTuple):
    """How the generated sample of a data set is made.

    Attributes:
        write: fills an empty folder with so many training and test units.
        size: training and test units.
        smoke_size: the same in the miniature for tests.
    """

    write: Callable[[Path, int, int], None]
    size: tuple[int, int]
    smoke_size: tuple[int, int]


@dataclass(frozen=True)
class DataSet:
    """The specification of a data set.

    Attributes:
        name: the canonical name, letters, digits, - and _.
        folder: its folder below the data root; letter case and punctuation are forgiven.
        page: the project page.
        download: what to fetch there.
        skeleton: its own joints.
        read: folder, split -> columns of `Annotations`, by name; images are not looked at. Those
            that are left out get the value that fits people in still images.
        scorer: the official protocol.
        unit: what one sequence number stands for: images, people or sequences.
        video: whether the unit is a sequence of frames.
        published: split -> how many units the published split has.
        split_names: other names of the splits, such as valid -> test.
        train_sets: the parts that may be trained on.
        unscored: splits without ground truth, which are predicted and not scored: lower-case name
            -> the file below the folder that lists their images or people.
        labels: glob patterns of the label files below the folder.
        crop_drop: how far top-down crops are lowered, as a share of the box.
        image_boxes: makes the boxes of annotations that only the images tell.
        detections: the people of the test and unscored splits as a detector found them, with its
            scores and without annotated joints; its `read` takes another file of them as `path`.
        sample: the generated sample; None where there is none.
    """

    name: str
    folder: str
    page: str
    download: str
    skeleton: Skeleton
    read: Callable[[Path, str], dict[str, Any]]
    scorer: Scorer
    unit: str = "people"
    video: bool = False
    published: Mapping[str, int] = field(default_factory=dict)
    split_names: Mapping[str, str] = field(default_factory=dict)
    train_sets: tuple[str, ...] = ("train",)
    unscored: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = _LABELS
    crop_drop: float = 0.0
    image_boxes: Callable[[Annotations], np.ndarray] | None = None
    detections: "DataSet | None" = None
    sample: Sample | None = None

    def split(self, name: str) -> str:
        """The split of a name: train, test, another to train on or one without ground truth.

        Raises:
            PosekitError: there is no such split.
        """
        split, known = self.split_names.get(name, name), (*self.train_sets, "test", *self.unscored)
        if split not in known:
            raise PosekitError(f"{self.name} has no split {name!r}: choose {' or '.join(known)}")
        return split

    def find(self, root: Path) -> Path | None:
        """The data set's folder below the data root; None where it is not."""
        folders = sorted(Path(root).iterdir()) if os.path.isdir(root) else []
        wanted = plain(self.folder)
        return next((f for f in folders if plain(f.name) == wanted and f.is_dir()), None)

    def need(self, root: Path) -> Path:
        """The data set's folder below the data root; its absence is an error."""
        if folder := self.find(root):
            return folder
        place = Path(root, self.folder)
        raise PosekitError(f"{self.name} is not below {root}. {self.remedy(place)}")

    def with_boxes(self, boxes: str | Path, split: str) -> "DataSet":
        """The same for the people of some boxes.

        Args:
            boxes: ground_truth, detections, or a json file of other detections.
            split: whose people.

        Raises:
            PosekitError: there are none.
        """
        if boxes == "ground_truth":
            return self
        if not self.detections or split not in ("test", *self.unscored):
            problem = f"{self.name} has no detections of its {split} split"
            raise PosekitError(f"boxes={str(boxes)!r}: {problem}: use ground_truth")
        if boxes == "detections":
            return self.detections
        if not (file := existing_path(str(boxes))).is_file():
            remedy = "name a json list of detections with image_id, category_id, bbox and score"
            raise PosekitError(f"box_file={str(boxes)!r}: there is no such file: {remedy}")
        return replace(self.detections, read=partial(self.detections.read, path=file), published={})

    def unscored_in(self, folder: Path) -> list[str]:
        """The splits without ground truth that the data set's folder holds."""
        return [split for split, file in self.unscored.items() if (folder / file).is_file()]

    def annotations(self, folder: Path, split: str, source: str = "real") -> Annotations:
        """The rows of a split; images are not looked at.

        Raises:
            EmptySplit: the file that lists a split without ground truth is not there.
        """
        if split in self.unscored and split not in self.unscored_in(folder):
            problem = f"{folder / self.unscored[split]} is missing, the list of {split}"
            remedy = f"copy it there from {self.page}; the generated sample has none"
            raise EmptySplit(f"{problem}: {remedy}")
        columns = {"images": Folder(folder), **self.read(folder, split)}
        return Annotations(self.name, split, source, self.skeleton, **columns)

    def remedy(self, folder: Path) -> str:
        """What to download, from where, and where to put it."""
        return f"Download {self.download} from {self.page} and put it into {folder}."

    def label_files(self, folder: Path) -> list[Path]:
        """The label files in the data set's folder, sorted."""
        return sorted({path for pattern in self.labels for path in folder.glob(pattern)})


def _mean(points: np.ndarray) -> float:
    """The mean of what counts; NaN where nothing does."""
    counted = points[~np.isnan(points)]
    return float(counted.mean()) if counted.size else float("nan")
