import json

import pytest
from spots import scene

from posekit.errors import PosekitError
from posekit.inference.coco_boxes import CocoBoxes
from posekit.inference.media import Frame


def test_boxes_of_a_coco_file(tmp_path):
    path = tmp_path / "boxes.json"
    records = [{"image_id": 4, "bbox": [10, 20, 31, 41], "score": 0.7, "category_id": 1}]
    records += [{"image_id": 4, "bbox": [150, 20, 90, 41], "score": 0.4, "category_id": 1}]
    path.write_text(json.dumps(records), encoding="utf-8")
    boxes, scores = CocoBoxes(path).find(Frame(4, "d", scene(1, 1)))
    assert boxes.tolist() == [[10, 20, 41, 61], [150, 20, 240, 61]]
    assert scores.tolist() == [0.7, 0.4]
    assert len(CocoBoxes(path).find(Frame(5, "e", scene(1, 1)))[0]) == 0
    path.write_text(json.dumps({"annotations": records}), encoding="utf-8")
    boxes, _ = CocoBoxes(path).find(Frame(4, "d", scene(1, 1)))
    assert boxes.tolist() == [[10, 20, 40, 60], [150, 20, 159, 60]]  # cut to the image
    path.write_text('{"annotations": [{"bbox": 3}]}', encoding="utf-8")
    with pytest.raises(PosekitError, match="record 0 has no field image_id"):
        CocoBoxes(path)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bbox": ["a", "b", "c", "d"]}, "bbox"),
        ({"bbox": [0, 0, float("nan"), 5]}, "bbox"),
        ({"bbox": [0, 0, float("inf"), 5]}, "bbox"),
        ({"bbox": [0, 0, 5]}, "bbox"),
        ({"bbox": None}, "bbox"),
        ({"score": "x"}, "score"),
        ({"score": None}, "score"),
        ({"score": float("nan")}, "score"),
        ({"image_id": float("inf")}, "image_id"),
        ({"image_id": 1.5}, "image_id"),
        ({"image_id": "x"}, "image_id"),
        ({"image_id": None}, "image_id"),
    ],
    ids=str,
)
@pytest.mark.parametrize("truth", [True, False])
def test_bad_boxes_are_refused_before_the_run(tmp_path, changes, field, truth):
    path, good = tmp_path / "boxes.json", {"image_id": 4, "bbox": [1, 2, 3, 4], "score": 0.5}
    records = [good, good | changes]
    path.write_text(json.dumps({"annotations": records} if truth else records), encoding="utf-8")
    with pytest.raises(PosekitError, match=rf"boxes\.json: .*field {field}\b.*") as caught:
        CocoBoxes(path)
    assert "record 1" in str(caught.value)


@pytest.mark.parametrize("content", ["3", "{}", '{"annotations": 3}', "[3]", "[[]]", "null"])
def test_other_json_is_no_file_of_boxes(tmp_path, content):
    path = tmp_path / "boxes.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PosekitError, match=r"boxes.json: .*image_id and bbox"):
        CocoBoxes(path)
