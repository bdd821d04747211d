"""The generated sample of COCO: images with one to three people, crowds, and detected boxes."""

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from ...geometry.skeletons import COCO
from ...metrics.coco_ap import PERSON
from ..coco.reader import DETECTIONS, SETS
from .bodies import Figure
from .scenes import Scene, draw_scene
from .writers import generator, save_image

_STREAM = 3
_CROWDED = 10  # every so many images there is a crowd
_BEHIND = COCO.index("nose", "left_eye", "right_eye")  # hidden in a view from the back
_CATEGORY = {
    "supercategory": "person",
    "id": PERSON,
    "name": "person",
    "keypoints": list(COCO.joints),
    "skeleton": [[a + 1, b + 1] for a, b in COCO.limb_indices],
}


def write_coco(folder: Path, train: int, test: int) -> None:
    """annotations/, images/ and person_detection_results/ of so many images.

    Args:
        folder: of COCO, empty.
        train: images of train2017.
        test: images of val2017.
    """
    (folder / "annotations").mkdir()
    (file := folder / DETECTIONS["test"]).parent.mkdir()
    _write_split(folder, SETS["train"], range(1, train + 1))
    detections = _write_split(folder, SETS["test"], range(train + 1, train + test + 1))
    _save_json(file, detections)


def _save_json(path: Path, content: object) -> None:
    """Write JSON without spaces."""
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _write_split(folder: Path, name: str, numbers: range) -> list[dict]:
    """Write the images and annotations of a split; returns what a detector finds in it."""
    (folder / "images" / name).mkdir(parents=True)
    images, people, found = [], [], []
    for number in numbers:
        rng = generator(_STREAM, number)
        crowded = number % _CROWDED == 0
        scene = _draw(rng, crowded)
        file, (h, w) = f"{number:012d}.jpg", scene.images[0].shape[:2]
        save_image(folder / "images" / name / file, scene.images[0])
        images.append({"id": number, "width": w, "height": h, "file_name": file})
        person = {"image_id": number, "category_id": PERSON}
        records = enumerate(_people(rng, scene, crowded), 10 * number)
        here = [{"id": i} | person | record for i, record in records]
        found += [person | detection for detection in _detect(rng, here, (h, w))]
        people += here
    content = {"images": images, "annotations": people, "categories": [_CATEGORY]}
    _save_json(folder / "annotations" / f"person_keypoints_{name}.json", content)
    return found


def _draw(rng: Generator, crowded: bool) -> Scene:
    people = 3 if crowded else int(rng.choice(3, p=(0.5, 0.3, 0.2))) + 1
    size = int(rng.integers(160, 221)), int(rng.integers(140 + 20 * people, 221))
    return draw_scene(rng, size, COCO.joints, people=people, heights=(60, 110), margin=-12)


def _people(rng: Generator, scene: Scene, crowded: bool) -> list[dict]:
    """One record a person; in a crowded image the second and third share one."""
    masks = [_mask(figure, scene.images[0].shape[:2]) for figure in scene.people]
    single = masks[:1] if crowded else masks
    records = [_person(rng, scene, i, mask) for i, mask in enumerate(single)]
    if crowded:
        both = masks[1] | masks[2]
        joints = {"num_keypoints": 0, "keypoints": [0] * 3 * len(COCO)}
        records.append(_region(both) | {"iscrowd": 1, "segmentation": _runs(both)} | joints)
    return records


def _runs(mask: np.ndarray) -> dict:
    """A mask (h, w) as lengths of runs down the columns, the first one outside."""
    ends = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=2))
    return {"size": list(mask.shape), "counts": np.diff(ends, prepend=0).tolist()}


def _person(rng: Generator, scene: Scene, index: int, mask: np.ndarray) -> dict:
    figure, unannotated = scene.people[index], rng.random() < 0.06
    annotated = scene.inside[index, 0] & (not unannotated)
    if not figure.front:
        annotated[_BEHIND] = False
    flag = annotated * (1 + scene.seen[index, 0])
    points = np.where(annotated[:, None], figure.keypoints(COCO.joints)[0].round(), 0)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return _region(mask) | {
        "iscrowd": 0,
        "segmentation": [o.ravel().tolist() for o in outlines if len(o) > 2],
        "num_keypoints": int(annotated.sum()),
        "keypoints": np.column_stack([points, flag]).astype(int).ravel().tolist(),
    }


def _mask(figure: Figure, size: tuple[int, int]) -> np.ndarray:
    """The pixels (h, w) uint8 of a person, hidden ones too."""
    mask = np.zeros(size, np.uint8)
    for part in figure.parts:
        cv2.fillConvexPoly(mask, np.rint(part.outline[0]).astype(np.int32), 1)
    return mask


def _region(mask: np.ndarray) -> dict:
    x, y, w, h = cv2.boundingRect(mask)
    return {"bbox": [x, y, w, h], "area": int(mask.sum())}


def _detect(rng: Generator, people: list[dict], size: tuple[int, int]) -> list[dict]:
    """What a fair detector finds: most people, some twice, and sometimes background."""
    found = []
    for person in people:
        box = np.array(person["bbox"], float)
        for time in range(rng.choice(3, p=(0.08, 0.77, 0.15))):
            jitter = rng.normal(0, 0.03 + 0.04 * time, 4) * np.tile(box[2:], 2)
            found.append((box + jitter, rng.uniform(0.75, 1) * 0.6**time))
    for _ in range(rng.poisson(0.5)):
        w, h = rng.uniform(20, 60), rng.uniform(30, 100)
        x, y = rng.uniform(0, size[1] - w), rng.uniform(0, size[0] - h)
        found.append((np.array([x, y, w, h]), rng.uniform(0.02, 0.4)))
    found.sort(key=lambda one: -one[1])
    return [{"bbox": box.round(2).tolist(), "score": round(score, 4)} for box, score in found]
