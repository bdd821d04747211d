"""MPII Human Pose: people in everyday images, 16 joints.

Layouts: annot/train.json and annot/valid.json (as HRNet and Simple Baselines ship them), or one
mpii_annotations.json (as pytorch-pose ships it). The test split is `valid`, whose official head
sizes are in annot/gt_valid.mat.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.reading import check_shape, column, first_existing, load_mat, load_records
from ..files.writing import replacing
from ..geometry.skeletons import MPII
from ..metrics.score import Protocol
from .annotations import Annotations
from .dataset import DataSet, Sample, dataset
from .predictions import Predictions
from .sample.mpii import write_mpii
from .scoring import PckScorer, Truth

_HEAD_SIZE = 0.6  # SC_BIAS of the official evaluation, times the diagonal of the head box
# The two head joints of MPII come from the head box: the official size is 0.75 of their distance
# (all of 2932 validation people: median 0.75000, 5% and 95% quantiles 0.74999 and 0.75000).
_HEAD_OF_NECK = 0.75
_UNIT = 200.0  # pixels of person height per unit of scale


def read(folder: Path, split: str) -> dict[str, Any]:
    """The columns of the people of one split in file order; images are not looked at.

    The joints of the test split are the official ones of gt_valid.mat, which the score is over;
    a few of them differ from those of the records.

    MATLAB's 1 is subtracted from coordinates. A box is the square of 200 * scale pixels around
    the annotated centre. Each person is a sequence of one frame, numbered in file order from 1:
    several people may share an image. Images are numbered in the order of their names. The
    reference length of the test split is the official head size; the training annotations have no
    head box, and 0.75 of the distance from upper neck to head top stands in for it, NaN where one
    of the two is missing.

    Args:
        folder: of MPII.
        split: train or test (valid).
    """
    path, columns = _read_records(folder, split)
    joints, visible, notes = columns["keypoints"], columns["visible"], ()
    if split == "test":
        joints, visible, reference = _official(folder, path, columns)
    else:
        ends = MPII.index("upper_neck", "head_top")
        length = _HEAD_OF_NECK * np.linalg.norm(np.diff(joints[:, ends], axis=1)[:, 0], axis=-1)
        reference = np.where(visible[:, ends].all(1) & (length > 0), length, np.nan)
        notes = ("head size taken as 0.75 of the distance from upper neck to head top",)
    return columns | {
        "keypoints": np.where(visible[..., None], joints - 1, 0).astype(np.float32),
        "visible": visible,
        "occluded": columns["occluded"] & visible,
        "reference": reference.astype(np.float32),
        "image_id": np.unique(columns["image"], return_inverse=True)[1] + 1,
        "notes": notes,
    }


def ground_truth(path: Path) -> Truth:
    """Read the official validation columns of gt_valid.mat.

    The reference length is the head size, 0.6 of the head box's diagonal.

    Raises:
        PosekitError: a column is missing, of another shape or not finite.
    """
    fields = ["pos_gt_src", "jnt_missing", "headboxes_src"]
    keypoints, missing, headboxes = load_mat(path, fields).values()
    if keypoints.ndim == 2:  # MATLAB drops the last axis of a single person
        keypoints, headboxes = keypoints[..., None], headboxes[..., None]
    check_shape(keypoints, (16, 2, None), path, "field pos_gt_src")
    people = keypoints.shape[-1]
    check_shape(missing, (16, people), path, "field jnt_missing")
    check_shape(headboxes, (2, 2, people), path, "field headboxes_src")
    corners = headboxes.astype(float).transpose(2, 0, 1)
    return Truth(
        keypoints.astype(float).transpose(2, 0, 1),
        missing.T == 0,
        _HEAD_SIZE * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1),
    )


def _truth_file(folder: Path) -> Path:
    path = first_existing(folder, "annot/gt_valid.mat", "gt_valid.mat")
    if path is None:
        raise PosekitError(f"{folder} lacks annot/gt_valid.mat, the official head sizes: copy it")
    return path


def _official(folder: Path, other: Path, columns: dict[str, np.ndarray]) -> Truth:
    path = _truth_file(folder)
    truth, keypoints = ground_truth(path), columns["keypoints"]
    if len(truth.keypoints) != len(keypoints):
        counts = f"{len(truth.keypoints)} people and {other} has {len(keypoints)}"
        raise PosekitError(f"{path} has {counts}: both must be of the same split")
    both = columns["visible"] & truth.visible
    # A few coordinates of the official file are 0, so most joints have to agree and not all.
    near = np.abs(truth.keypoints - keypoints).max(-1) <= 1
    if (strange := 2 * (both & near).sum(1) < both.sum(1)).any():
        problem = f"show different people in record {strange.argmax()}"
        raise PosekitError(f"{path} and {other} {problem}: both must be in the same order")
    return truth


def _read_records(folder: Path, split: str) -> tuple[Path, dict[str, np.ndarray]]:
    """The file of either layout and columns of its people, with keypoints in its coordinates.

    In pytorch-pose's a missing joint is (0, 0), and the third value 0 alone means occluded.
    """
    name = "train.json" if split == "train" else "valid.json"
    path = first_existing(
        folder, f"annot/{name}", name, "annot/mpii_annotations.json", "mpii_annotations.json"
    )
    if path is None:
        raise PosekitError(f"{folder} lacks annot/{name} (or mpii_annotations.json): copy it there")
    people = load_records(path)
    if path.name == name:
        centre, scale, image = "center", "scale", "image"
        keypoints = column(path, people, "joints", (16, 2))
        visible = column(path, people, "joints_vis", (16,)) > 0
        occluded = np.zeros(visible.shape, bool)
    else:
        centre, scale, image = "objpos", "scale_provided", "img_paths"
        validation = column(path, people, "isValidation", ()) > 0
        people = [p for p, v in zip(people, validation, strict=True) if v == (split == "test")]
        joints = column(path, people, "joint_self", (16, 3))
        keypoints, visible = joints[..., :2], (joints[..., :2] != 0).any(-1)
        occluded = visible & (joints[..., 2] == 0)
    scales = column(path, people, scale, ())
    if (bad := scales <= 0).any():
        raise PosekitError(
            f"{path}: record {bad.argmax()} has a field {scale} that is not positive"
        )
    names = [person.get(image) for person in people]
    for i, file in enumerate(names):
        if not isinstance(file, str) or not file or Path(file).name != file or "\\" in file:
            raise PosekitError(f"{path}: record {i} has no plain file name in field {image}")
    middle, half = column(path, people, centre, (2,)) - 1, _UNIT * scales[:, None] / 2
    return path, {
        "keypoints": keypoints,
        "visible": visible,
        "occluded": occluded,
        "boxes": np.concatenate([middle - half, middle + half], 1).astype(np.float32),
        "image": np.array([f"images/{name}" for name in names], str),
    }


class _Scorer(PckScorer):
    def save(self, folder: Path, people: Annotations, found: Predictions) -> Path:
        """Write pred.mat, whose `preds` (N, 16, 2) the official evaluation reads."""
        from scipy.io import savemat

        with replacing(path := folder / "pred.mat") as partial:
            savemat(partial, {"preds": found.keypoints + self.origin}, appendmat=False)
        return path


def _truth(root: Path) -> Truth:
    """Of the test split; the root may be a gt_valid.mat itself."""
    root = Path(root)
    folder = dataset("MPII").find(root) or root / "mpii"
    return ground_truth(root if root.is_file() else _truth_file(folder))


SPEC = DataSet(
    name="MPII",
    folder="mpii",
    page="http://human-pose.mpi-inf.mpg.de",
    download="images/, annot/{train,valid}.json and annot/gt_valid.mat",
    skeleton=MPII,
    read=read,
    scorer=_Scorer(
        Protocol(
            dataset="MPII",
            name="PCKh@0.5",
            skeleton=MPII,
            threshold=0.5,
            sentence="PCKh@0.5 of 0.6 times the head box diagonal, annotated joints, pelvis and "
            "thorax left out",
            unscored=("pelvis", "thorax"),
            # HRNet, SimpleBaseline and LPN publish the next step of their grid of 0.01 under the
            # name Mean@0.1, that is 0.11: their tables compare with the legacy number.
            extra_thresholds={"mean@0.1": 0.10, "mean@0.1_legacy": 0.11},
        ),
        truth=_truth,
        origin=1.0,
    ),
    published={"train": 22246, "test": 2958},
    split_names={"valid": "test"},
    labels=("*.json", "*.mat", "annot/*"),
    crop_drop=15 / 200,  # the boxes sit high
    sample=Sample(write_mpii, size=(800, 100), smoke_size=(10, 5)),
)
