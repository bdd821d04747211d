import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from spots import CPU, scene

from posekit.errors import PosekitError
from posekit.files.reading import decode
from posekit.geometry.crops import box_iou
from posekit.geometry.skeletons import COCO, Skeleton
from posekit.inference import box_sources
from posekit.inference.box_sources import HogDetector, WholeFrame
from posekit.inference.media import Frame

needs_hog = pytest.mark.skipif(not box_sources.has_hog(), reason="this OpenCV has no HOGDescriptor")


def test_a_local_detector_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    from torchvision.models import get_model

    name = "ssdlite320_mobilenet_v3_large"
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / f"{name}_coco-12345678.pth"
    torch.save(get_model(name, weights=None, weights_backbone=None).state_dict(), file)
    assert box_sources.local_detector() == (name, file)
    detector = box_sources.open_box_source("auto", CPU)
    assert name in detector.about
    boxes, scores = detector.find(Frame(1, "a", scene(50, 50)))
    assert boxes.shape == (len(scores), 4) and (scores >= 0.5).all()
    file.write_bytes(b"junk")
    with pytest.raises(PosekitError, match=f"holds no weights of {name}"):
        box_sources.open_box_source("detector", CPU)


def test_the_whole_frame_is_searched_in_parts():
    windows = WholeFrame().windows(Frame(1, "a", scene(1, 1)))
    assert windows[0].tolist() == [0, 0, 160, 120]
    assert windows[1:].tolist() == [[0, 0, 90, 120], [35, 0, 125, 120], [70, 0, 160, 120]]


def test_a_home_that_does_not_exist_is_no_file_of_boxes():
    with pytest.raises(PosekitError, match="is missing"):
        box_sources.open_box_source("~nosuchuser/x.json", CPU)


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def test_without_the_people_detector_of_opencv_one_message_says_so(monkeypatch, no_weights):
    monkeypatch.delattr(cv2, "HOGDescriptor", raising=False)
    with pytest.raises(PosekitError, match="has no people detector: pip install opencv-contrib"):
        box_sources.open_box_source("hog", CPU)
    assert len(box_sources.open_box_source("auto", CPU).windows(Frame(1, "a", scene(1, 1)))) == 4


@needs_hog
@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (1, 1), (90, 40)])
def test_hog_looks_at_pictures_of_any_shape(shape):
    boxes, scores = HogDetector().find(Frame(1, "a", np.zeros((*shape, 3), np.uint8)))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@needs_hog
@pytest.mark.real
def test_hog_finds_as_few_people_as_it_says(no_weights):
    if not (real := os.environ.get("POSEKIT_REAL_DATA")):
        pytest.skip("POSEKIT_REAL_DATA names no folder of real samples")
    root, auto = Path(real), box_sources.open_box_source("auto", CPU)
    found = people = boxes_made = 0
    for split in ("val2017", "train2017"):
        content = json.loads((root / f"coco/annotations/person_keypoints_{split}.json").read_text())
        for image in content["images"]:
            mine = [a for a in content["annotations"] if a["image_id"] == image["id"]]
            given = np.array([a["bbox"] for a in mine if not a["iscrowd"]]).reshape(-1, 4)
            path = root / "coco/images" / split / image["file_name"]
            if not path.is_file():
                continue
            frame = Frame(1, "a", decode(path.read_bytes(), path.name, True))
            boxes = auto.windows(frame)[4:]
            given[:, 2:] += given[:, :2]
            near = box_iou(boxes, given) >= 0.5
            found += near.any(0).sum()
            people, boxes_made = people + len(given), boxes_made + len(boxes)
    said = [int(number) for number in re.findall(r"\d+", HogDetector.about)]
    assert [said[0], *said[2:5]] == [people, found, boxes_made - found, boxes_made]


def test_what_has_no_wrists_is_searched_without_a_detector_of_people(monkeypatch, no_weights):
    monkeypatch.setattr(box_sources, "local_detector", lambda: ("x", None))
    assert type(box_sources.open_box_source("auto", CPU, people=False)) is WholeFrame
    fish = Skeleton("fish", ("mouth", "left_fin", "right_fin"), (), {})
    assert COCO.of_people and not fish.of_people
