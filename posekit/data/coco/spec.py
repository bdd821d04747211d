"""What COCO is."""

from dataclasses import replace

from ...geometry.skeletons import COCO
from ..dataset import DataSet, Sample
from ..sample.coco import write_coco
from .reader import UNSCORED, read, read_detections
from .scoring import CocoScorer

_ANNOTATED = DataSet(
    name="COCO",
    folder="coco",
    page="https://cocodataset.org",
    download="images/{train,val}2017/ and annotations/",
    skeleton=COCO,
    read=read,
    scorer=CocoScorer(),
    published={"train": 149813, "test": 6352},
    split_names={"train2017": "train", "val2017": "test"},
    unscored=UNSCORED,
    labels=("annotations/*", "person_detection_results/*"),
    sample=Sample(write_coco, size=(500, 80), smoke_size=(9, 5)),
)
_FOUND = replace(
    _ANNOTATED, read=read_detections, unit="found people", published={"test": 104125}, sample=None
)
SPEC = replace(_ANNOTATED, detections=_FOUND)
