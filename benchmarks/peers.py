"""What HRNet does between a network and COCO's AP, and to open annotations, in its order of work.

After lib/nms/nms.py and lib/dataset/coco.py of leoxiaobin/deep-high-resolution-net.pytorch
(MIT licence), without what numpy no longer has. It writes with json_tricks; json, which is used
here, is the faster one.
"""

import contextlib
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

_SIGMAS = (
    np.array(
        [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87]
        + [0.89, 0.89]
    )
    / 10.0
)
_JOINTS = 17


def oks_iou(g: np.ndarray, d: np.ndarray, a_g: float, a_d: np.ndarray) -> np.ndarray:
    variances = (_SIGMAS * 2) ** 2
    xg, yg = g[0::3], g[1::3]
    ious = np.zeros(d.shape[0])
    for n in range(d.shape[0]):
        dx, dy = d[n, 0::3] - xg, d[n, 1::3] - yg
        e = (dx**2 + dy**2) / variances / ((a_g + a_d[n]) / 2 + np.spacing(1)) / 2
        ious[n] = np.sum(np.exp(-e)) / e.shape[0] if e.shape[0] != 0 else 0.0
    return ious


def oks_nms(people: list[dict], threshold: float) -> list[int]:
    scores = np.array([person["score"] for person in people])
    keypoints = np.array([person["keypoints"].flatten() for person in people])
    areas = np.array([person["area"] for person in people])
    order, keep = scores.argsort()[::-1], []
    while order.size > 0:
        i = order[0]
        keep.append(i)
        overlap = oks_iou(keypoints[i], keypoints[order[1:]], areas[i], areas[order[1:]])
        order = order[np.where(overlap <= threshold)[0] + 1]
    return keep


def suppressed(
    poses: np.ndarray,
    boxes: np.ndarray,
    areas: np.ndarray,
    box_scores: np.ndarray,
    images: np.ndarray,
    in_vis_thre: float = 0.2,
    oks_thre: float = 0.9,
) -> list[list[dict]]:
    """People image by image, rescored and without duplicates."""
    by_image = defaultdict(list)
    for n, pose in enumerate(poses):
        by_image[int(images[n])].append(
            {
                "keypoints": pose,
                "center": boxes[n][0:2],
                "scale": boxes[n][2:4],
                "area": areas[n],
                "score": box_scores[n],
                "image": int(images[n]),
                "row": n,
            }
        )
    kept = []
    for people in by_image.values():
        for person in people:
            height, number = 0, 0
            for joint in range(_JOINTS):
                score = person["keypoints"][joint][2]
                if score > in_vis_thre:
                    height, number = height + score, number + 1
            if number != 0:
                height = height / number
            person["score"] = height * person["score"]
        kept.append([people[i] for i in oks_nms(people, oks_thre)])
    return kept


def write_results(kept: list[list[dict]], path: Path) -> None:
    results = []
    for people in kept:
        poses = np.array([person["keypoints"] for person in people])
        keypoints = np.zeros((len(poses), _JOINTS * 3))
        for joint in range(_JOINTS):
            for value in range(3):
                keypoints[:, joint * 3 + value] = poses[:, joint, value]
        results.extend(
            {
                "image_id": person["image"],
                "category_id": 1,
                "keypoints": list(keypoints[n]),
                "score": person["score"],
                "center": list(person["center"]),
                "scale": list(person["scale"]),
            }
            for n, person in enumerate(people)
        )
    with path.open("w") as file:
        json.dump(results, file, sort_keys=True, indent=4)
    with path.open() as file:
        json.load(file)  # HRNet makes sure that it can be read


def evaluate(truth: Any, found: Any, evaluator: Any = None) -> np.ndarray:
    """The ten numbers of pycocotools (or a drop-in), of two of its indices."""
    if evaluator is None:
        from pycocotools.cocoeval import COCOeval as evaluator
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = evaluator(truth, found, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats[:10])


def index_of(path: Path, module: Any = None) -> Any:
    """`COCO(path)` without its prints."""
    if module is None:
        from pycocotools.coco import COCO as module
    with contextlib.redirect_stdout(io.StringIO()):
        return module(str(path))


def load_results(truth: Any, path: Path) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return truth.loadRes(str(path))


def open_annotations(path: Path) -> tuple[Any, list[dict]]:
    """HRNet's COCODataset: `COCO()`, and a list of dicts of the people with joints."""
    coco, records = index_of(path), []
    for index in coco.getImgIds():
        image = coco.loadImgs(index)[0]
        width, height = image["width"], image["height"]
        people = []
        for one in coco.loadAnns(coco.getAnnIds(imgIds=index, iscrowd=False)):
            x, y, w, h = one["bbox"]
            x1, y1 = np.max((0, x)), np.max((0, y))
            x2 = np.min((width - 1, x1 + np.max((0, w - 1))))
            y2 = np.min((height - 1, y1 + np.max((0, h - 1))))
            if one["area"] > 0 and x2 >= x1 and y2 >= y1:
                one["clean_bbox"] = [x1, y1, x2 - x1, y2 - y1]
                people.append(one)
        for one in people:
            if one["category_id"] != 1 or max(one["keypoints"]) == 0:
                continue
            joints = np.zeros((_JOINTS, 3))
            visible = np.zeros((_JOINTS, 3))
            for n in range(_JOINTS):
                joints[n, 0] = one["keypoints"][n * 3 + 0]
                joints[n, 1] = one["keypoints"][n * 3 + 1]
                flag = min(one["keypoints"][n * 3 + 2], 1)
                visible[n, 0] = visible[n, 1] = flag
            x, y, w, h = one["clean_bbox"]
            center = np.array([x + w * 0.5, y + h * 0.5], np.float32)
            if w > 0.75 * h:
                h = w / 0.75
            elif w < 0.75 * h:
                w = h * 0.75
            scale = np.array([w / 200, h / 200], np.float32)
            records.append(
                {
                    "image": f"images/train2017/{index:012d}.jpg",
                    "center": center,
                    "scale": scale * 1.25 if center[0] != -1 else scale,
                    "joints_3d": joints,
                    "joints_3d_vis": visible,
                    "filename": "",
                    "imgnum": 0,
                }
            )
    return coco, records
