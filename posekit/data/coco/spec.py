"""What COCO is."""

from ...geometry.skeletons import COCO
from ..dataset import DataSet, Sample
from ..sample.coco import write_coco
from .detections import read_detections
from .reader import read
from .scoring import CocoScorer

_COCO = {
    "name": "COCO",
    "folder": "coco",
    "page": "https://cocodataset.org",
    "download": "images/{train,val}2017/ and annotations/",
    "skeleton": COCO,
    "scorer": CocoScorer(),
    "split_names": {"train2017": "train", "val2017": "test"},
    "labels": ("annotations/*", "person_detection_results/*"),
}
SPEC = DataSet(
    read=read,
    published={"train": 149813, "test": 6352},
    detections=DataSet(
        read=read_detections, unit="found people", published={"test": 104125}, **_COCO
    ),
    sample=Sample(write_coco, size=(500, 80), smoke_size=(9, 5)),
    **_COCO,
)
