"""Predict a split and score it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..config.machine import Machine
from ..data import Annotations, coco, lsp, mpii, penn_action
from ..data.clips import Clips
from ..errors import PosekitError
from ..files.places import data_root, dataset_name, find_data
from ..files.reading import load_records
from ..geometry.skeletons import LSP, POSE_MACHINE, convert
from ..metrics import oks
from ..metrics.coco_ap import coco_keypoint_ap, results_from_arrays
from ..metrics.mobilepose import mobilepose_pck, penn_test
from ..metrics.pck import PROTOCOLS, pck_score
from ..metrics.score import Score
from ..models.families.task import Task


@dataclass(frozen=True)
class Predictions:
    """Keypoints of every row of a split, in the network's joints.

    Attributes:
        keypoints: (N, K, 2) image pixels.
        scores: (N, K) height of each peak.
    """

    keypoints: np.ndarray
    scores: np.ndarray


def average_heatmaps(
    task: Task,
    images: Tensor,
    flip_test: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Tensor:
    """The network's belief about each frame, averaged over mirror images and sizes.

    Args:
        task: the network.
        images: (B, T, 3, h, w) uint8.
        flip_test: also look at the mirror image.
        scales: sizes of the person to look at; each enlarges or shrinks the crop about its middle.

    Returns:
        (B, T, K, H, W) float32.
    """
    total: Tensor | int = 0
    for scale in scales:
        scaled = _zoom(images, scale)
        for mirrored in (False, True) if flip_test else (False,):
            maps = task.heatmaps(scaled.flip(-1) if mirrored else scaled).float()
            total = total + _zoom(task.flip_back(maps) if mirrored else maps, 1 / scale)
    return total / (len(scales) * (2 if flip_test else 1))


def _zoom(images: Tensor, scale: float) -> Tensor:
    """Enlarge (..., C, h, w) about its middle by a factor, same size out; zeros come in as grey."""
    if scale == 1:
        return images
    flat = images.flatten(0, -4)
    empty = 128.0 if images.dtype == torch.uint8 else 0.0
    theta = images.new_tensor([[1 / scale, 0, 0], [0, 1 / scale, 0]], dtype=torch.float32)
    grid = F.affine_grid(theta.expand(len(flat), 2, 3), list(flat.shape), align_corners=False)
    out = F.grid_sample(flat.float() - empty, grid, align_corners=False) + empty
    if images.dtype == torch.uint8:
        out = out.round().clamp(0, 255).to(torch.uint8)
    return out.reshape(images.shape)


@torch.inference_mode()
def predict(
    task: Task,
    batches: DataLoader,
    machine: Machine,
    flip_test: bool = False,
    scales: Sequence[float] = (1.0,),
    bar: Callable[[DataLoader, str], Any] = lambda batches, title: batches,
) -> Predictions:
    """Predict every row of a split once.

    Args:
        task: the network; it is put in evaluation mode.
        batches: from `posekit.data.loader`, unshuffled, without augmentation.
        machine: device and precision.
        flip_test: average with the mirror image.
        scales: sizes to add up.
        bar: wraps the batches in a progress bar.
    """
    task.model.eval()
    clips: Clips = batches.dataset
    keypoints, scores = np.empty(clips.keypoints.shape), np.empty(clips.visible.shape)
    for batch in bar(batches, "predicting"):
        images = batch["images"].to(machine.device, non_blocking=True)
        with machine.autocast():
            maps = average_heatmaps(task, images, flip_test, scales)
        found, heights = task.decode(maps, clips.image_size)
        scored = batch["scored"].numpy()
        rows = batch["rows"].numpy()[scored]
        keypoints[rows] = found.cpu().numpy()[scored]
        scores[rows] = heights.cpu().numpy()[scored]
    return Predictions(clips.to_image(keypoints), scores)


def mean_pose(train: Clips, test: Clips) -> np.ndarray:
    """The baseline that never looks: the mean training pose inside each test crop.

    Returns:
        (N, K, 2) image pixels for the rows of `test`.
    """
    visible = train.visible[..., None]
    crops = np.where(visible, train.to_crop(train.keypoints), 0)
    mean = crops.sum(0) / visible.sum(0).clip(1)
    return test.to_image(np.broadcast_to(mean, test.keypoints.shape))


def official_score(
    clips: Clips, found: Predictions, root: Path | None = None, soft_nms: bool = False
) -> Score:
    """Score predictions under the data set's own protocol.

    Args:
        clips: the split.
        found: of every row, in the network's joints.
        root: the data root, for COCO, whose score needs the file of all annotations.
        soft_nms: on COCO, order duplicates by lowered scores instead of dropping them.
    """
    people = clips.people
    shown = np.ones(found.keypoints.shape[:2], dtype=bool)
    ours, _ = convert(found.keypoints, shown, clips.skeleton, people.skeleton)
    if people.dataset == "COCO":
        return _average_precision(clips, ours, found.scores, root, soft_nms)
    known = people.reference > 0  # False for NaN: training annotations may lack a reference
    columns = (ours, people.keypoints, people.visible, people.reference)
    result = pck_score(PROTOCOLS[people.dataset], *(column[known] for column in columns))
    if known.all():
        return result
    lost = f"{(~known).sum()} people without a reference length left out"
    return replace(result, protocol=f"{result.protocol}; {lost}")


IN_VISIBILITY, OKS_NMS = 0.2, 0.9  # thresholds of SimpleBaseline and HRNet


def _average_precision(
    clips: Clips, keypoints: np.ndarray, heights: np.ndarray, root: Path, soft: bool
) -> Score:
    """COCO's ten numbers: rescore, suppress duplicates, evaluate over all images of the split.

    With annotated boxes also the mean OKS, which tells apart networks that AP calls 0.
    """
    people = clips.people
    images = np.array([int(Path(name).stem) for name in people.image.tolist()])
    heights = np.nan_to_num(heights, posinf=0, neginf=0)  # of a network that has diverged
    scores = oks.rescore(heights, people.score, IN_VISIBILITY)
    areas = clips.framing.areas(clips.sides)[clips.clip_of_row]
    suppress = oks.soft_oks_nms if soft else oks.oks_nms
    kept = suppress(images, keypoints, scores, areas, OKS_NMS)
    results = results_from_arrays(*(c[kept] for c in (images, keypoints, heights, scores)))
    truth = coco.annotation_file(root, coco.set_of(people))
    looked_at, remark = _images_to_score(people, images, root)
    numbers = coco_keypoint_ap(truth, results, looked_at)
    boxes = "ground-truth" if people.visible.any() else "detected"
    sentences = [
        f"COCO keypoint AP with {boxes} boxes, {len(kept)} of {len(people)} people left by OKS "
        f"{'soft ' if soft else ''}NMS at {OKS_NMS}",
        *remark,
    ]
    if boxes == "detected":
        found = set(images.tolist())
        some = coco_keypoint_ap(truth, results, found)["AP"]
        sentences.append(f"over the {len(found)} images with a detection AP is {some:.4f}")
    else:
        numbers |= {"mean OKS": validation_score(clips, keypoints) / 100}
        sentences.append(
            "mean OKS is over all annotated people, each against the pose in their box"
        )
    protocol = "; ".join(sentences)
    return Score(numbers["AP"], numbers, f"AP, {boxes} boxes", protocol, len(people))


def _images_to_score(
    people: Annotations, images: np.ndarray, root: Path
) -> tuple[set[int], list[str]]:
    """Ids of the images that the score is over, and a remark where those are not all of val2017.

    The test split counts every image whose picture is there, also those without people; a part of
    the training images, held out for validation, counts those of its people.
    """
    split = coco.set_of(people)
    if (split, people.split) != ("test", "test"):
        return set(images.tolist()), []
    there, count = coco.pictured(root, split)
    if len(there) == count:
        return set(there.tolist()), []
    remark = f"over {len(there)} of {count} images, the others have no picture here"
    return set(there.tolist()), [remark]


def validation_score(clips: Clips, keypoints: np.ndarray) -> float:
    """A score for choosing the best epoch, percent: the official PCK, or mean OKS on COCO."""
    people = clips.people
    if people.dataset != "COCO":
        return official_score(clips, Predictions(keypoints, np.ones(keypoints.shape[:2]))).mean
    area = people.reference**2
    return 100 * oks.mean_oks(keypoints, people.keypoints, people.visible, area)


def mobilepose_score(clips: Clips, keypoints: np.ndarray) -> Score:
    """Score under MobilePose-master's own definition, to stand beside its published table.

    Args:
        clips: the split.
        keypoints: (N, 14, 2) image pixels in pose-machine order.
    """
    if clips.skeleton is not POSE_MACHINE:
        raise PosekitError("MobilePose-master's PCK is defined for the 14 pose-machine joints only")
    found, truth = clips.to_crop(keypoints), clips.to_crop(clips.keypoints)
    if clips.people.dataset == "PennAction":
        side = np.full(len(found), max(clips.image_size))
        return penn_test(found, truth, clips.visible, side)
    return mobilepose_pck(found, np.nan_to_num(truth), clips.visible)


def score(
    dataset: str,
    predictions: np.ndarray | Mapping[int | str, np.ndarray] | list[dict] | str | Path,
    split: str | None = None,
    root: str | Path | None = None,
) -> Score:
    """Score predictions made by anything under a data set's official protocol.

    Predictions are in the coordinates of the ground-truth files and are compared as they are.

    Args:
        dataset: LSP, MPII, PennAction or COCO.
        predictions: COCO a list of result dicts or a results json, over all images of val2017;
            LSP (1000, 14, 2) for images 1001..2000 in LSP's joint order; MPII (N, 16, 2)
            in the order of annot/gt_valid.mat; PennAction a mapping of sequence id to (n, 13, 2).
        split: test, which is the default. Penn Action can also be scored on train; without a
            split its score is over the sequences that are given, and says how many those are.
        root: the folder that holds LSP, mpii, PennAction, like the parameter data_root; for MPII
            also a gt_valid.mat itself.

    Raises:
        PosekitError: unknown data set, missing ground truth, or predictions that do not fit it.
    """
    name = dataset_name(dataset)
    place = data_root(str(root) if root else None)
    if name == "PennAction":
        return _score_penn_action(predictions, split, place)
    if split not in (None, "test"):
        raise PosekitError(f"posekit.score knows the test split of {name}, not {split!r}")
    if name == "LSP":
        return _score_lsp(_numbers("LSP predictions", predictions), place)
    if name == "MPII":
        return _score_mpii(_numbers("MPII predictions", predictions), place)
    return _score_coco(predictions, place)


def _numbers(what: str, values: Any) -> np.ndarray:
    """Predictions as an array of real numbers."""
    try:
        found = np.asarray(values)
    except (TypeError, ValueError):  # lists of several lengths
        found = np.empty(0, object)
    if found.dtype.kind not in "iuf":
        raise PosekitError(f"{what}: not an array of numbers, x and y in pixels of every joint")
    return found.astype(float)


def _score_coco(results: list[dict] | str | Path, root: Path) -> Score:
    if isinstance(results, str | Path):
        results = load_records(Path(results))
    if not isinstance(results, Iterable):
        raise PosekitError("COCO predictions are a list of result dicts or a results json")
    results = list(results)
    numbers = coco_keypoint_ap(coco.annotation_file(root, "test"), results)
    sentence = "COCO keypoint AP over all images of val2017, results as given"
    return Score(numbers["AP"], numbers, "AP", sentence, len(results))


def _score_lsp(predictions: np.ndarray, root: Path) -> Score:
    joints, _ = lsp.joints(root)
    truth = joints[len(joints) // 2 :]
    hip, shoulder = LSP.index("right_hip", "left_shoulder")
    torso = np.linalg.norm(truth[:, hip] - truth[:, shoulder], axis=-1)
    return pck_score(PROTOCOLS["LSP"], predictions, truth, np.ones(truth.shape[:2], bool), torso)


def _score_mpii(predictions: np.ndarray, root: Path) -> Score:
    folder = find_data("MPII", root) or root / "mpii"
    truth = mpii.ground_truth(root if root.is_file() else mpii.truth_file(folder))
    return pck_score(
        PROTOCOLS["MPII"], predictions, truth.keypoints, ~truth.missing, truth.head_size
    )


def _score_penn_action(
    predictions: Mapping[int | str, np.ndarray], split: str | None, root: Path
) -> Score:
    labels = penn_action.labels(root)
    if split not in (None, "test", "train"):
        raise PosekitError(f"Penn Action has the splits train and test, not {split!r}")
    if not isinstance(predictions, Mapping):
        raise PosekitError("Penn Action predictions are a mapping of sequence id to (n, 13, 2)")
    given = {}
    for key, value in predictions.items():
        if not str(key).isdecimal():
            raise PosekitError(f"Penn Action predictions: {key!r} is no sequence id")
        given[int(key)] = _numbers(f"Penn Action sequence {key}", value)
    in_split = labels["train"] == (split == "train") if split else labels["sequence"] > 0
    known = np.unique(labels["sequence"][in_split])
    strange = sorted(set(given) - set(known.tolist()))
    lacking = sorted(set(known.tolist()) - set(given)) if split else []
    if strange or lacking or not given:
        raise PosekitError(
            f"Penn Action {split or 'labels'}: no labels for the predicted sequences {strange[:5]}"
            if strange
            else f"Penn Action {split or ''}: {len(lacking) or 'all'} sequences have no prediction,"
            f" among them {(lacking or known.tolist())[:5]}"
        )
    rows = np.isin(labels["sequence"], list(given))
    sequence, truth = labels["sequence"][rows], labels["keypoints"][rows]
    for key, value in given.items():
        if value.shape != truth[sequence == key].shape:
            raise PosekitError(
                f"Penn Action sequence {key:04d}: predictions of shape {value.shape}, labels have "
                f"{truth[sequence == key].shape}"
            )
    boxes = labels["boxes"][rows]
    result = pck_score(
        PROTOCOLS["PennAction"],
        np.concatenate([given[key] for key in np.unique(sequence).tolist()]),
        truth,
        labels["visible"][rows],
        (boxes[:, 2:] - boxes[:, :2]).max(-1),
    )
    over = f"over the {len(given)} sequences given of {len(known)} labelled"
    return result if split else replace(result, protocol=f"{result.protocol}; {over}")
