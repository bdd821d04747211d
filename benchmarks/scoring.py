"""After inference: suppression of duplicates, COCO's AP, the whole way from poses to numbers."""

import json
import tempfile
from pathlib import Path

import numpy as np

from posekit.data.annotations import Annotations, Folder
from posekit.data.coco.scoring import CocoScorer
from posekit.data.predictions import FILE, write_predictions
from posekit.geometry.skeletons import COCO
from posekit.metrics import oks
from posekit.metrics.coco_ap import read_truth, result_texts
from posekit.metrics.keypoint_ap import Detections, match, summarise

from . import peers
from .harness import NotHere, Pair, Way, growth, row
from .people import Found, found, labels

PEOPLE = 11_004  # annotated in the 5,000 images of val2017


@row("oks_nms_6k", goal=10, against="HRNet's loop over images")
def oks_nms_6k() -> Pair:
    return _suppression(2_346, 6_352)


@row("oks_nms_104k", goal=20, against="HRNet's loop over images", rounds=3)
def oks_nms_104k() -> Pair:
    return _suppression(5_000, 104_125)


def _suppression(images: int, boxes: int) -> Pair:
    people = found(labels(images, 2 * images), boxes)

    def baseline() -> set[int]:
        kept = peers.suppressed(
            people.poses, people.boxes, people.areas, people.box_scores, people.image
        )
        return {person["row"] for image in kept for person in image}

    def ours() -> np.ndarray:
        scores = oks.rescore(people.poses[..., 2], people.box_scores)
        return oks.oks_nms(people.image, people.poses[..., :2], scores, people.areas)

    def equal(theirs: set[int], rows: np.ndarray) -> str:
        assert theirs == set(rows.tolist()), f"{len(theirs ^ set(rows.tolist()))} rows"
        return f"the same {len(rows):,} of {boxes:,} kept"

    return Pair(baseline, ours, equal, f"{boxes:,} generated boxes in {images:,} images")


@row("coco_eval_vs_pycocotools", goal=10, against="pycocotools, evaluate to summarize", rounds=5)
def coco_eval_vs_pycocotools() -> Pair:
    return _evaluation(None, None)


@row("coco_eval_vs_faster", goal=2.5, against="faster-coco-eval, evaluate to summarize")
def coco_eval_vs_faster() -> Pair:
    try:
        from faster_coco_eval import COCO as Index
        from faster_coco_eval.core.faster_eval_api import COCOeval_faster
    except ImportError:
        raise NotHere("faster-coco-eval is not installed (pip install faster-coco-eval)") from None
    return _evaluation(Index, COCOeval_faster)


def _evaluation(index, evaluator) -> Pair:
    """AP of what is in memory already, in each evaluator's own form."""
    truth = labels(5_000, PEOPLE)
    people = found(truth, 60_000)
    scores = people.box_scores.round(3)  # many ties
    points, heights = people.poses[..., :2].round(3), people.poses[..., 2].round(3)
    boxes = Detections(people.image, points, scores, heights)
    with tempfile.TemporaryDirectory() as folder:
        file, kept = Path(folder, "labels.json"), Path(folder, "results.json")
        file.write_text(json.dumps(truth))
        kept.write_text(f"[{', '.join(result_texts(boxes))}]")
        theirs = peers.index_of(file, index)
        detections = peers.load_results(theirs, kept)
    columns = read_truth(truth)

    def equal(stats: np.ndarray, ours: dict[str, float]) -> str:
        return _same(stats, list(ours.values()))

    return Pair(
        lambda: peers.evaluate(theirs, detections, evaluator),
        lambda: summarise(match(columns, boxes)),
        equal,
        f"60,000 generated detections with ties, {PEOPLE:,} people with crowds, 5,000 images",
    )


def _same(stats: np.ndarray, ours: list[float]) -> str:
    worst = np.abs(stats - ours).max()
    assert worst <= 1e-12, f"numbers by {worst:.1e}"
    return f"ten numbers within {worst:.0e}, AP {ours[0]:.4f}"


@row("chain_104k", goal=12, against="HRNet: suppress, write, read back twice, evaluate", rounds=3)
def chain_104k() -> Pair:
    """From poses in memory to the ten numbers and the results file; the truth is open before."""
    truth = labels(5_000, PEOPLE)
    people = found(truth, 104_125)
    people = people._replace(poses=people.poses.round(3))  # the digits that posekit's file has
    root = Path(tempfile.mkdtemp(prefix="posekit-benchmark-"))
    run = root / "run"
    for folder in (run, root / "coco" / "annotations"):
        folder.mkdir(parents=True)
    file = root / "coco" / "annotations" / "person_keypoints_val2017.json"
    file.write_text(json.dumps(truth))
    index, rows = peers.index_of(file), _rows(people, root)

    def baseline() -> np.ndarray:
        kept = peers.suppressed(
            people.poses, people.boxes, people.areas, people.box_scores, people.image
        )
        peers.write_results(kept, run / "hrnet.json")
        return peers.evaluate(index, peers.load_results(index, run / "hrnet.json"))

    def ours() -> dict[str, float]:
        scorer = CocoScorer()
        scorer.save(run, rows, people.predictions)
        return scorer.score(rows, people.predictions, root).values

    def equal(stats: np.ndarray, numbers: dict[str, float]) -> str:
        return _same(stats, list(numbers.values())[:10])

    return Pair(baseline, ours, equal, f"104,125 generated boxes, {PEOPLE:,} people, 5,000 images")


def _rows(people: Found, root: Path) -> Annotations:
    """Detected people as `read_detections` gives them."""
    images = np.array([f"images/val2017/{i:012d}.jpg" for i in people.image.tolist()])
    corners = people.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    columns = {"image_id": people.image, "score": people.box_scores, "boxes": corners}
    return Annotations("COCO", "val", "real", COCO, image=images, images=Folder(root), **columns,
                       file_split="test")  # fmt: skip


def _grown(count: int) -> tuple[dict, Found]:
    """Labels and found people in the proportions of val2017."""
    truth = labels(max(50, count // 20), max(110, count // 9))
    return truth, found(truth, count)


@growth("rescoring and OKS-NMS")
def suppression(count: int) -> Way:
    people = _grown(count)[1]

    def work() -> None:
        scores = oks.rescore(people.poses[..., 2], people.box_scores)
        oks.oks_nms(people.image, people.poses[..., :2], scores, people.areas)

    return work


@growth("COCO's AP of arrays")
def average_precision(count: int) -> Way:
    truth, people = _grown(count)
    columns = read_truth(truth)
    boxes = Detections(people.image, people.poses[..., :2], people.box_scores)
    return lambda: summarise(match(columns, boxes))


@growth("text of the results json")
def text_of_results(count: int) -> Way:
    people = _grown(count)[1]
    points, heights = people.poses[..., :2].round(3), people.poses[..., 2].round(3)
    return lambda: result_texts(Detections(people.image, points, people.box_scores, heights))


@growth("predictions.npz")
def predictions_file(count: int) -> Way:
    people = _grown(count)[1]
    folder = Path(tempfile.mkdtemp(prefix="posekit-benchmark-"))
    rows = _rows(people, folder)
    return lambda: write_predictions(folder / FILE, rows, people.predictions, COCO)
