"""Generated people in numbers like COCO's: annotated ones, and what a detector and a network find.

Only their numbers and sizes are those of COCO; AP and suppression cost what they cost on val2017.
"""

from typing import Any, NamedTuple

import numpy as np

from posekit.data.predictions import Predictions

JOINTS = 17
_SIDES = (480, 640)


class Found(NamedTuple):
    """Boxes and poses, before any suppression.

    Attributes:
        image: (N,) ids.
        boxes: (N, 4) x y width height.
        box_scores: (N,).
        poses: (N, 17, 3) x y and height of the peak.
        areas: (N,) square pixels of the crops.
    """

    image: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray
    poses: np.ndarray
    areas: np.ndarray

    @property
    def predictions(self) -> Predictions:
        return Predictions(self.poses[..., :2], self.poses[..., 2], self.areas)


def labels(images: int, people: int, seed: int = 0) -> dict[str, Any]:
    """The content of person_keypoints_*.json: as many people as COCO has in so many images.

    Six of ten people have joints, two of a hundred are crowds, and half of the images have nobody.
    """
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(600_000, images, replace=False))
    image = rng.permutation(ids[rng.integers(0, max(1, images // 2), people)])
    sides = np.exp(rng.normal(4.4, 0.9, (people, 1)) + rng.normal(0, 0.2, (people, 2)))
    sides = sides.clip(8, 400).round(2)
    low = (rng.random((people, 2)) * (np.array(_SIDES[::-1]) - sides).clip(1)).round(2)
    joints = (low[:, None] + rng.random((people, JOINTS, 2)) * sides[:, None]).round()
    flag = rng.choice([0, 1, 2], (people, JOINTS), p=[0.35, 0.1, 0.55])
    crowd = rng.random(people) < 0.02
    flag[crowd | (rng.random(people) < 0.4)] = 0
    triplets = np.concatenate([joints * (flag > 0)[..., None], flag[..., None]], -1).astype(int)
    outline = (low[:, None] + rng.random((people, 14, 2)) * sides[:, None]).round(2)
    columns = (image, low, sides, triplets.reshape(people, -1), crowd, outline.reshape(people, -1))
    annotations = [
        {
            "segmentation": [line],
            "num_keypoints": sum(flag > 0 for flag in points[2::3]),
            "area": round(0.6 * side[0] * side[1], 4),
            "iscrowd": int(many),
            "keypoints": points,
            "image_id": where,
            "bbox": [*corner, *side],
            "category_id": 1,
            "id": 900_000_000 + number,
        }
        for number, (where, corner, side, points, many, line) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]
    return {
        "images": [_image(i) for i in ids.tolist()],
        "categories": [_category()],
        "annotations": annotations,
    }


def _image(number: int) -> dict[str, Any]:
    return {
        "license": 3,
        "file_name": f"{number:012d}.jpg",
        "coco_url": f"http://images.cocodataset.org/train2017/{number:012d}.jpg",
        "height": _SIDES[0],
        "width": _SIDES[1],
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://farm9.staticflickr.com/8186/{number}_z.jpg",
        "id": number,
    }


def _category() -> dict[str, Any]:
    from posekit.geometry.skeletons import COCO

    names = list(COCO.joints)
    return {"supercategory": "person", "id": 1, "name": "person", "keypoints": names}


def found(truth: dict[str, Any], boxes: int, seed: int = 1) -> Found:
    """Boxes of everybody in the truth and elsewhere, with poses, three of ten of them right.

    One of seven is a near copy of another one, which suppression takes away.
    """
    rng = np.random.default_rng(seed)
    people = [one for one in truth["annotations"] if one["num_keypoints"]]
    ids = np.array([one["id"] for one in truth["images"]])
    which = rng.integers(0, len(people), boxes)
    corners = np.array([one["bbox"] for one in people])[which]
    joints = np.array([one["keypoints"] for one in people]).reshape(-1, JOINTS, 3)[which, :, :2]
    image = np.array([one["image_id"] for one in people])[which]
    spread = rng.choice([0.02, 0.05, 0.15], boxes)[:, None, None] * corners[:, None, 2:]
    points = joints + rng.normal(size=(boxes, JOINTS, 2)) * spread
    strange = rng.random(boxes) < 0.7
    points[strange] = corners[strange, None, :2] + rng.random((strange.sum(), JOINTS, 2)) * 80
    image[strange] = rng.choice(ids, strange.sum())
    copies, origin = np.split(rng.permutation(boxes)[: 2 * (boxes // 7)], 2)
    shift = rng.normal(size=(len(copies), JOINTS, 2)) * 0.01 * corners[origin, None, 2:]
    points[copies], image[copies] = points[origin] + shift, image[origin]
    corners[copies] = corners[origin]
    poses = np.concatenate([points, rng.random((boxes, JOINTS, 1))], -1).astype(np.float32)
    areas = 1.5 * corners[:, 2] * corners[:, 3]
    scores = rng.random(boxes)
    return Found(image, corners, scores, poses.astype(float), areas)
