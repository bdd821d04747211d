"""COCO's keypoint AP: rescore, suppress duplicates, evaluate over all images of the split."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import PosekitError
from ...files.reading import load_records
from ...files.writing import write_text
from ...metrics import oks
from ...metrics.coco_ap import coco_keypoint_ap, read_results, read_truth, result_texts
from ...metrics.keypoint_ap import Detections, match, summarise
from ...metrics.score import Score
from ..annotations import Annotations, Folder
from ..dataset import DataSet, Scorer
from ..predictions import Predictions
from ..registry import dataset
from .reader import UNSCORED, image_names, label_file, labels

RESULTS = "coco_results.json"  # in a run folder


class CocoScorer(Scorer):
    """Keypoint AP as pycocotools computes it; a network is chosen by its mean OKS."""

    name = "OKS"
    validation_name = "mean OKS, percent"

    def score(self, people: Annotations, found: Predictions, root: Path | None = None) -> Score:
        """COCO's ten numbers, and with annotated boxes the mean OKS.

        The mean OKS tells apart networks whose AP is 0.
        """
        kept, by = coco_detections(people.image_id, people.score, found), found.ranking
        left = f"by OKS {'soft ' * by.soft_nms}NMS at {by.oks_thre:g} "
        left += f"(scores of joints above {by.in_vis_thre:g}, of boxes from {by.image_thre:g})"
        return self._score_kept(people, found, kept, root, left)

    def score_run(self, people: Annotations, found: Predictions, folder: Path, root: Path) -> Score:
        """The score of the saved results, which are rescored and without duplicates."""
        kept = read_results(load_records(folder / RESULTS))
        return self._score_kept(people, found, kept, root, f"in {RESULTS}")

    def _score_kept(
        self, people: Annotations, found: Predictions, kept: Detections, root: Path, left: str
    ) -> Score:
        scored, remark = _images_to_score(people, root)
        truth = read_truth(label_file(dataset("COCO").need(root), people.file_split))
        matches = match(truth, kept)
        numbers = summarise(matches, scored)
        boxes = "detected" if (people.annotation_id < 0).all() else "ground-truth"
        protocol = f"COCO keypoint AP with {boxes} boxes, {len(kept.scores)} of {len(people)} "
        protocol += f"people left {left}{remark}; "
        if boxes == "detected":
            images = set(people.image_id.tolist())
            some = summarise(matches, images)["AP"]
            protocol += f"over the {len(images)} images with a detection AP is {some:.4f}"
        else:
            numbers |= {"mean OKS": self.validation(people, found.keypoints) / 100}
            protocol += "mean OKS is over all annotated people, each against the pose in their box"
        return Score(numbers["AP"], numbers, f"AP, {boxes} boxes", protocol, len(people))

    def joint_scores(
        self, people: Annotations, found: Predictions, joints: Sequence[int], root: Path
    ) -> list[float]:
        truth = read_truth(label_file(dataset("COCO").need(root), people.file_split))
        images, _ = _images_to_score(people, root)
        kept = coco_detections(people.image_id, people.score, found)
        alone = truth.visible & np.eye(truth.visible.shape[1], dtype=bool)[list(joints)][:, None]
        truths = (truth._replace(visible=v, counted=truth.counted & v.any(1)) for v in alone)
        return [summarise(match(one, kept), images)["AP"] for one in truths]

    def validation(self, people: Annotations, keypoints: np.ndarray) -> float:
        area = people.reference**2
        return 100 * oks.mean_oks(keypoints, people.keypoints, people.visible, area)

    def points(self, people: Annotations, keypoints: np.ndarray) -> np.ndarray:
        spread = 8 * np.square(people.skeleton.sigmas) * people.reference[:, None] ** 2
        return 100.0 * np.exp(-np.square(keypoints - people.keypoints).sum(-1) / spread)

    def score_given(self, spec: DataSet, given: Any, split: str | None, root: Path) -> Score:
        if isinstance(given, str | Path):
            given = load_records(Path(given))
        if not isinstance(given, Iterable):
            raise PosekitError("COCO predictions are a list of result dicts or a results json")
        results = list(given)
        numbers = coco_keypoint_ap(label_file(spec.need(root), "test"), results)
        sentence = "COCO keypoint AP over all images of val2017, results as given"
        return Score(numbers["AP"], numbers, "AP", sentence, len(results))

    def save(self, folder: Path, people: Annotations, found: Predictions) -> Path:
        """Write the results as they are scored: rescored and without duplicates.

        Those of test-dev have the name that COCO's evaluation server asks for.
        """
        name, split = RESULTS, people.file_split
        if split in UNSCORED:
            name = f"person_keypoints_{split}2017_{folder.resolve().name}_results.json"
        texts = result_texts(coco_detections(people.image_id, people.score, found))
        write_text(folder / name, f"[{', '.join(texts)}]")
        return folder / name


def coco_detections(image_id: np.ndarray, box_scores: np.ndarray, found: Predictions) -> Detections:
    """Poses as COCO's results hold them, rescored and without duplicates, by `found.ranking`.

    Coordinates and keypoint scores are rounded to three decimals, which keeps files small; the
    scores that rank people are not.

    Args:
        image_id: (N,) the image of each pose.
        box_scores: (N,) the detector's confidence in each box; 1 for annotated boxes.
        found: N poses in COCO's joints, with the areas of their crops.
    """
    ranking = found.ranking
    heights = np.nan_to_num(found.scores, posinf=0, neginf=0)  # of a network that has diverged
    scores = oks.rescore(heights, box_scores, ranking.in_vis_thre)
    rows = np.flatnonzero(box_scores >= ranking.image_thre)
    suppress = oks.soft_oks_nms if ranking.soft_nms else oks.oks_nms
    columns = (image_id, found.keypoints, scores, found.areas)
    kept = rows[suppress(*(column[rows] for column in columns), ranking.oks_thre)]
    keypoints, heights = (a[kept].astype(float).round(3) for a in (found.keypoints, heights))
    return Detections(image_id[kept], keypoints, scores[kept], heights)


def _images_to_score(people: Annotations, root: Path) -> tuple[set[int], str]:
    """Ids of the images that the score is over, and a remark where those are not all of val2017.

    The test split counts every image whose file is there, also those without people; a part of
    the training images, held out for validation, counts those of its people.
    """
    if (people.file_split, people.split) != ("test", "test"):
        return set(people.image_id.tolist()), ""
    folder = dataset("COCO").need(root)
    ids = labels(folder, "test")["images"]
    there = ids[Folder(folder).present(image_names("test", ids))]
    absent = f"; over {len(there)} of {len(ids)} images, the others have no picture here"
    return set(there.tolist()), absent if len(there) < len(ids) else ""
