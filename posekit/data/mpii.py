"""MPII Human Pose: people in everyday images, 16 joints.

Layouts: annot/train.json and annot/valid.json (as HRNet and Simple Baselines ship them), or one
mpii_annotations.json (as pytorch-pose ships it). The test split is `valid`, whose official head
sizes are in annot/gt_valid.mat; only its score needs them. `trainval` is both splits in one, and
`test-part` the people of annot/test.json, whose joints only the project has.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.reading import check_shape, column, first_existing, load_mat, load_records
from ..files.writing import replacing
from ..geometry.skeletons import MPII
from ..metrics.score import Protocol
from .annotations import Annotations
from .dataset import DataSet, Sample
from .predictions import Predictions
from .registry import dataset
from .sample.writers import write_mpii
from .scoring import PckScorer, Truth

_HEAD_SIZE = 0.6  # SC_BIAS of the official evaluation, times the diagonal of the head box
# The two head joints of MPII come from the head box: the official size is 0.75 of their distance
# (all of 2932 validation people: median 0.75000, 5% and 95% quantiles 0.74999 and 0.75000).
_HEAD_OF_NECK = 0.75
_UNIT = 200.0  # pixels of person height per unit of scale
_TRUTH = ("annot/gt_valid.mat", "gt_valid.mat")


def read(folder: Path, split: str) -> dict[str, Any]:
    """The columns of the people of one split in file order; images are not looked at.

    The joints of the test split are the official ones of gt_valid.mat, where it is there, which the
    score is over; a few of them differ from those of the records.

    MATLAB's 1 is subtracted from coordinates. A box is the square of 200 * scale pixels around
    the annotated centre. Each person is a sequence of one frame, numbered in file order from 1:
    several people may share an image. Images are numbered in the order of their names. The
    reference length of the test split is the official head size, NaN without gt_valid.mat; the
    training annotations have no head box, and 0.75 of the distance from upper neck to head top
    stands in for it, NaN where one of the two is missing.

    Args:
        folder: of MPII.
        split: train, trainval, test (valid) or test-part (test).
    """
    path, columns = _read_columns(folder, split)
    joints, visible, notes = columns["keypoints"], columns["visible"], ()
    if split == "test" and (truth := first_existing(folder, *_TRUTH)):
        joints, visible, reference = _official(truth, path, columns)
    elif split in ("test", "test-part"):
        reference = np.full(len(joints), np.nan)
        missing = f"{_TRUTH[0]}, the official head sizes, is missing: no score without it"
        notes = (missing,) * (split == "test")
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
    # MATLAB drops the last axis of a single person.
    keypoints, headboxes = np.atleast_3d(keypoints, headboxes)
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


def _official(path: Path, other: Path, columns: dict[str, np.ndarray]) -> Truth:
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


def _read_records(folder: Path, name: str) -> tuple[Path, list[dict]]:
    """The file of either layout, and its people of train, valid, both (trainval) or test."""
    both = "mpii_annotations.json"
    path = first_existing(folder, f"annot/{name}.json", f"{name}.json", f"annot/{both}", both)
    if path is None and name == "trainval":
        (path, train), (_, valid) = (_read_records(folder, half) for half in ("train", "valid"))
        return path, train + valid
    if path is None:
        raise PosekitError(f"{folder} lacks annot/{name}.json (or {both}): copy it there")
    people = load_records(path)
    if path.name == both and name != "trainval":
        wanted = (column(path, people, "isValidation", ()) > 0) == (name == "valid")
        people = [person for person, ours in zip(people, wanted, strict=True) if ours]
    return path, people


def _read_columns(folder: Path, split: str) -> tuple[Path, dict[str, Any]]:
    """The file of a split and columns of its people, with keypoints in its coordinates."""
    file = {"test": "valid", "test-part": "test"}.get(split, split)
    path, people = _read_records(folder, file)
    if path.stem != "mpii_annotations":
        centre, scale, image = "center", "scale", "image"
        keypoints = np.zeros((len(people), 16, 2))
        visible = occluded = np.zeros((len(people), 16), bool)
        if file != "test":
            keypoints = column(path, people, "joints", (16, 2))
            visible = column(path, people, "joints_vis", (16,)) > 0
    else:
        centre, scale, image = "objpos", "scale_provided", "img_paths"
        keypoints, visible, occluded = _joints(path, people, "joint_self")
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
        "bystanders": _bystanders(path, people, names, keypoints),
    }


def _bystanders(
    path: Path, people: list[dict], names: list[str], own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Images and keypoints of the people in `joint_others` who have no record of the split."""
    pairs = [(i, other) for i, p in zip(names, people, strict=True) for other in _others(p)]
    images, others = [image for image, _ in pairs], [{"joint_others": other} for _, other in pairs]
    joints, visible, _ = _joints(path, others, "joint_others")
    image = np.unique([*names, *images], return_inverse=True)[1]
    everybody = np.column_stack([image, np.concatenate([own, joints]).reshape(len(image), 32)])
    first = np.unique(everybody, axis=0, return_index=True)[1]
    new = first[first >= len(own)] - len(own)
    keypoints = np.where(visible[..., None], joints - 1, np.nan)[new]
    return np.array([f"images/{images[i]}" for i in new.tolist()], str), keypoints


def _others(person: dict) -> list:
    """The people of `joint_others`, which holds the joints themselves of only one."""
    found = person.get("joint_others")
    if not isinstance(found, list):  # an empty array of MATLAB is an object
        return []
    single = found and isinstance(found[0], list) and len(found[0]) == 3
    return [found] if single else found


def _joints(path: Path, people: Sequence[dict], field: str) -> tuple[np.ndarray, ...]:
    """Keypoints, visible and occluded of a field of pytorch-pose's layout.

    A missing joint is (0, 0), and the third value 0 alone means occluded.
    """
    joints = column(path, people, field, (16, 3))
    visible = (joints[..., :2] != 0).any(-1)
    return joints[..., :2], visible, visible & (joints[..., 2] == 0)


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
    path = root if root.is_file() else first_existing(folder, *_TRUTH)
    if path is None:
        raise PosekitError(f"{folder} lacks {_TRUTH[0]}, the official head sizes: copy it there")
    return ground_truth(path)


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
    published={"train": 22246, "test": 2958, "trainval": 25204},
    split_names={"valid": "test"},
    train_sets=("train", "trainval"),
    unscored={"test-part": "annot/test.json"},
    labels=("*.json", "*.mat", "annot/*"),
    crop_drop=15 / 200,  # the boxes sit high
    sample=Sample(write_mpii, size=(800, 100), smoke_size=(10, 5)),
)
