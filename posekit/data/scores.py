"""Scores of predictions: of a network on clips, of files made by anything, of a run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..files.paths import data_root
from ..files.reading import load_json
from ..geometry.skeletons import POSE_MACHINE, Skeleton, convert
from ..metrics.score import Score
from . import load
from .annotations import Annotations, Folder
from .clips import Clips
from .dataset import DataSet
from .predictions import FILE, KEYS, Predictions, read_predictions, skeleton_of, write_predictions
from .registry import dataset as spec_of
from .sample import sample_root


def official_score(clips: Clips, found: Predictions, root: Path | None = None) -> Score:
    """Score predictions under the data set's own protocol.

    Args:
        clips: the split.
        found: of every row, in the network's joints.
        root: the data root, for protocols that read files of the data set.
    """
    scorer, people = spec_of(clips.people.dataset).scorer, clips.people
    return scorer.score(people, _for_scorer(clips, found), root)


def joint_scores(
    clips: Clips, found: Predictions, root: Path, joints: Sequence[int]
) -> list[float]:
    """Score single joints of the data set: the main number of `official_score` for each alone."""
    scorer, people = spec_of(clips.people.dataset).scorer, clips.people
    return scorer.joint_scores(people, _for_scorer(clips, found), joints, root)


def validation_score(clips: Clips, keypoints: np.ndarray) -> float:
    """A score for choosing the best epoch, percent: the official PCK, or mean OKS on COCO."""
    people = clips.people
    ours = _in_joints_of(people, keypoints, clips.skeleton)
    return spec_of(people.dataset).scorer.validation(people, ours)


def mobilepose_score(clips: Clips, keypoints: np.ndarray) -> Score:
    """Score under MobilePose-master's own definition, to stand beside its published table.

    Args:
        clips: the split.
        keypoints: (N, 14, 2) image pixels in pose-machine order.
    """
    if clips.skeleton is not POSE_MACHINE:
        raise PosekitError("MobilePose-master's PCK is defined for the 14 pose-machine joints only")
    found, truth = clips.to_crop(keypoints), np.nan_to_num(clips.to_crop(clips.keypoints))
    scorer = spec_of(clips.people.dataset).scorer
    return scorer.mobilepose(found, truth, clips.visible, side=max(clips.image_size))


def save_predictions(folder: Path, clips: Clips, found: Predictions) -> Path:
    """Write predictions.npz and the data set's official prediction file into a run folder.

    Args:
        folder: of the run.
        clips: the split.
        found: of every row, in the network's joints.

    Returns:
        The official file; predictions.npz where the data set has none.
    """
    people, file = clips.people, folder / FILE
    write_predictions(file, people, found, clips.skeleton)
    return spec_of(people.dataset).scorer.save(folder, people, _for_scorer(clips, found)) or file


def score(
    dataset: str,
    predictions: np.ndarray | Mapping[int | str, np.ndarray] | list[dict] | str | Path,
    split: str | None = None,
    root: str | Path | None = None,
) -> Score:
    """Score predictions made by anything under a data set's official protocol.

    Predictions are in the coordinates of the ground-truth files and are compared as they are.

    Args:
        dataset: LSP, MPII, PennAction, COCO, or another registered data set.
        predictions: COCO a list of result dicts or a results json, over all images of val2017;
            LSP (1000, 14, 2) for images 1001..2000 in LSP's joint order; MPII (N, 16, 2)
            in the order of annot/gt_valid.mat; PennAction a mapping of sequence id to (n, 13, 2).
            The path of a run folder gives the run's own score.
        split: test, which is the default. Penn Action can also be scored on train; without a
            split its score is over the sequences that are given, and says how many those are.
        root: the folder that holds LSP, mpii, PennAction, like the parameter data_root; for MPII
            also a gt_valid.mat itself.

    Raises:
        PosekitError: unknown data set, missing ground truth, or predictions that do not fit it.
    """
    spec, place = spec_of(dataset), data_root(str(root) if root else None)
    split = split and spec.split(split)
    if isinstance(predictions, str | Path) and Path(predictions).is_dir():
        return _run_score(spec, Path(predictions), split, root and place)
    if split not in (None, *spec.scorer.splits):
        raise PosekitError(f"posekit.score knows the test split of {spec.name}, not {split!r}")
    return spec.scorer.score_given(spec, predictions, split, place)


def _run_score(spec: DataSet, folder: Path, split: str | None, root: Path | None) -> Score:
    found = load_json(folder / "metrics.json")
    record = found if isinstance(found, dict) else {}
    name, part, source = (str(record.get(key)) for key in ("dataset", "split", "source"))
    if name != spec.name or split not in (None, part):
        wanted = f"the {split or part} split of {spec.name}"
        raise PosekitError(f"{folder} is a run on the {part} split of {name}, not on {wanted}")
    if part in spec.unscored:
        problem = f"{folder} is a run on {part}, whose ground truth only {spec.page} has"
        raise PosekitError(f"{problem}: submit its prediction file there")
    place = root or (sample_root() if source == "sample" else data_root())
    people, found = run_predictions(spec, folder, part, source, place)
    return spec.scorer.score_run(people, found, folder, place)


def run_predictions(
    spec: DataSet, folder: Path, split: str, source: str, root: Path
) -> tuple[Annotations, Predictions]:
    """The predictions of a run folder, in the joints of the data set, and whose they are.

    Args:
        spec: of the data set that the run was scored on.
        folder: of the run.
        split: that the run was scored on.
        source: real or sample.
        root: the data root.

    Raises:
        PosekitError: the file is missing or damaged, or is about people who are not there.
    """
    table = read_predictions(folder / FILE)
    people = _rows_of(spec, table, split, source, root)
    ours = _in_joints_of(people, table["keypoints"].astype(float), skeleton_of(table))
    return people, Predictions(ours, table["scores"].astype(float))


def _rows_of(
    spec: DataSet, table: dict[str, np.ndarray], split: str, source: str, root: Path
) -> Annotations:
    """The rows of the data set that predictions belong to, in their order.

    Detected people are those of the table, whichever file they came from.
    """
    file_split = str(table["file_split"])
    if spec.detections is not None and (table["annotation_id"] < 0).all():
        image = table["image_id"]
        columns = {"boxes": table["box"], "image": image.astype(str), "image_id": image}
        columns |= {"images": Folder(root), "file_split": file_split}
        return Annotations(spec.name, split, source, spec.skeleton, **columns)
    people = load(spec.name, file_split, root, source=source, allow_partial=True)
    row = {key: i for i, key in enumerate(_keys(vars(people)))}
    rows = np.array([row.get(key, -1) for key in _keys(table)], int)
    if (rows < 0).any():
        raise PosekitError(
            f"{(rows < 0).sum()} of {len(rows)} predictions belong to people that {spec.name} "
            f"below {root} does not have: name the data_root of the run as root"
        )
    return people.rows(rows, split)


def _keys(table: dict[str, np.ndarray]) -> list[tuple[int, ...]]:
    return list(zip(*(table[name].tolist() for name in KEYS), strict=True))


def _in_joints_of(people: Annotations, keypoints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    everything = np.ones(keypoints.shape[:2], dtype=bool)
    return convert(keypoints, everything, skeleton, people.skeleton)[0]


def _for_scorer(clips: Clips, found: Predictions) -> Predictions:
    """The same in the joints of the data set, with the areas of the crops."""
    ours = _in_joints_of(clips.people, found.keypoints, clips.skeleton)
    areas = clips.framing.areas(clips.sides)[clips.clip_of_row]
    return replace(found, keypoints=ours, areas=areas)
