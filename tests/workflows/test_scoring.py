"""What a run leaves of boxes and splits that are not the usual ones."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import posekit
from posekit.data import DATASETS, mpii
from posekit.data.coco.reader import DETECTIONS, UNSCORED
from posekit.data.coco.scoring import RESULTS
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.reporting.record import read_record
from posekit.workflows import evaluation as lab
from posekit.workflows.doctor import examine

NETWORK = {"model": "lpn_50@random", "width": 0.0625, "image_size": [64, 64], "workers": 0}


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def every_step(pictures: bool = False, **knobs) -> lab.Evaluation:
    """The evaluate notebook, cell by cell."""
    exp = lab.start(NETWORK | knobs)
    exp.shown = [lab.load(exp), lab.build(exp), lab.evaluate(exp), lab.protocol(exp)]
    if pictures:
        lab.error_gallery(exp)
        pictures = [name.removesuffix("-sample.png") for name in exp.run.record.figures]
        assert [name.removesuffix(".png") for name in pictures][:2] == ["0-best", "0-worst"]
        lab.heatmaps(exp)
    exp.shown.append(lab.finish(exp))
    return exp


def read_blind(folder, split):
    """The test people of MPII as though their joints were secret."""
    if split != "blind":
        return mpii.read(folder, split)
    columns = mpii.read(folder, "test")
    hidden = {"visible": np.zeros_like(columns["visible"]), "notes": ()}
    return columns | hidden | {"reference": np.full_like(columns["reference"], np.nan)}


def test_a_split_without_ground_truth_is_predicted_and_has_no_score(monkeypatch, reports):
    spec = replace(DATASETS["MPII"], read=read_blind, unscored={"blind": "annot/valid.json"})
    monkeypatch.setitem(DATASETS, "MPII", spec)
    root = ensure_sample("MPII", smoke=True)
    knobs = {"dataset": "MPII", "data_root": str(root)}
    exp = every_step(eval_split="blind", **knobs)
    record = read_record(exp.run.folder)
    assert (record.status, record.split, record.n_samples) == ("finished", "blind", 5)
    assert record.metrics == record.baseline == record.published == {} and record.metric == ""
    assert record.protocol.startswith("no score: the ground truth of blind is not public")
    table, summary = exp.shown[2], exp.shown[-1]
    assert table.loc[0, "file"] == "pred.mat" and (exp.run.folder / "pred.mat").is_file()
    assert "submit pred.mat to" in summary and "mean pose" not in summary
    assert "MPII (blind), predicted without a score" in (exp.run.folder / "report.html").read_text()
    assert "MPII: no score" in (reports / "index.html").read_text()
    with pytest.raises(PosekitError, match="eval_split='blnd': MPII has test, val, train, blind"):
        lab.start(NETWORK | knobs | {"eval_split": "blnd"})
    with pytest.raises(
        PosekitError, match="is missing, the list of blind.*the generated sample has"
    ):
        monkeypatch.setitem(DATASETS, "MPII", replace(spec, unscored={"blind": "annot/no.json"}))
        every_step(dataset="MPII", eval_split="blind", source="sample")


@pytest.fixture
def coco(tmp_path):
    """A data root with the sample of COCO, whose test images are those of test-dev too."""
    folder = tmp_path / "data" / "coco"
    shutil.copytree(ensure_sample("COCO", smoke=True) / "coco", folder)
    shutil.copytree(folder / "images/val2017", folder / "images/test2017")
    labels = json.loads((folder / "annotations/person_keypoints_val2017.json").read_text())
    listed = {"images": labels["images"], "categories": [{"id": 1, "name": "person"}]}
    (folder / UNSCORED["test-dev"]).write_text(json.dumps(listed))
    shutil.copy(folder / DETECTIONS["test"], folder / DETECTIONS["test-dev"])
    return folder


def test_test_dev_is_written_as_its_server_takes_it(coco, reports):
    assert "    test-dev: ready\n" in examine(str(coco.parent))
    knobs = {"data_root": str(coco.parent), "source": "real"}
    exp = every_step(pictures=True, eval_split="test-dev", **knobs)
    scored = every_step(boxes="detections", **knobs)
    name = f"person_keypoints_test-dev2017_{exp.run.folder.name}_results.json"
    assert (exp.run.folder / name).read_bytes() == (scored.run.folder / RESULTS).read_bytes()
    record = read_record(exp.run.folder)
    assert record.status == "finished" and record.headline is None and not record.metrics
    assert name in record.protocol and "COCO: no score" in (reports / "index.html").read_text()
    assert scored.run.record.metrics.keys() >= {"AP"} and not (exp.run.folder / RESULTS).exists()
    with pytest.raises(PosekitError, match="a run on test-dev, whose ground truth only"):
        posekit.score("COCO", exp.run.folder, root=coco.parent)
    (coco / DETECTIONS["test-dev"]).unlink()
    assert "    test-dev: not ready" in examine(str(coco.parent))
    with pytest.raises(PosekitError, match="609_person.json is missing: .*or name others as box_f"):
        every_step(eval_split="test-dev", **knobs)
    again = every_step(eval_split="test-dev", box_file=str(coco / DETECTIONS["test"]), **knobs)
    written = next(again.run.folder.glob("person_keypoints_test-dev2017_*"))
    assert written.read_bytes() == (exp.run.folder / name).read_bytes()


def test_boxes_of_another_detector_are_scored_and_scored_again(coco, tmp_path):
    """A run of any box file and thresholds has its score from its folder, to the last digit."""
    knobs = {"data_root": str(coco.parent), "source": "real"}
    file = tmp_path / "faster_rcnn.json"
    with pytest.raises(PosekitError, match=r"box_file='.*faster_rcnn.json': there is no such file"):
        lab.start(NETWORK | knobs | {"box_file": str(file)})
    boxes = json.loads((coco / DETECTIONS["test"]).read_text())
    moved = [b | {"bbox": [b["bbox"][0] + 3, *b["bbox"][1:]]} for b in boxes]
    file.write_text(json.dumps(moved))
    runs = {
        "usual": every_step(boxes="detections", **knobs),
        "other": every_step(box_file=str(file), **knobs),
        "best": every_step(
            box_file=str(file), image_thre=0.5, oks_thre=0.3, in_vis_thre=0, **knobs
        ),
    }
    with pytest.raises(PosekitError, match="image_thre=1.5 leaves no box to score: lower it"):
        lab.load(lab.start(NETWORK | knobs | {"box_file": str(file), "image_thre": 1.5}))
    file.unlink()
    counts = {}
    for name, exp in runs.items():
        record = read_record(exp.run.folder)
        score = posekit.score("COCO", exp.run.folder, root=coco.parent)
        boxes_of = "detected boxes" if name == "usual" else "boxes of faster_rcnn.json"
        assert record.metric == f"AP, {boxes_of}"
        assert bool(record.published) == (name == "usual")  # those are of the usual boxes
        assert score.values == record.metrics and "with detected boxes" in score.protocol
        counts[name] = len(json.loads((exp.run.folder / RESULTS).read_text()))
        assert f"{counts[name]} of {len(boxes)} people left" in record.protocol
        low = runs["usual"].test.people.boxes[:, 0] + 3 * (name != "usual")
        np.testing.assert_allclose(exp.test.people.boxes[:, 0], low, rtol=1e-5)
    assert counts["best"] <= sum(b["score"] >= 0.5 for b in boxes) < counts["other"]
    assert "NMS at 0.3 (scores of joints above 0, of boxes from 0.5)" in exp.run.record.protocol
    for damage, words in (
        ({"bbox": [1, 2, 3]}, "detection 0 has no field bbox of shape"),
        ({"score": "x"}, "detection 0 has no field score"),
        ({"score": 1e9}, "detection 0: field score holds values beyond"),
        ({"image_id": -1}, "detection 0 has the field image_id -1"),
        ({"category_id": "x"}, "detection 0 has no field category_id"),
    ):
        file.write_text(json.dumps([boxes[0] | damage]))
        with pytest.raises(PosekitError, match=rf"faster_rcnn\.json: {words}"):
            lab.load(lab.start(NETWORK | knobs | {"box_file": str(file)}))
    with pytest.raises(
        PosekitError, match="json.: COCO has no detections of its val split: use gr"
    ):
        lab.start(NETWORK | knobs | {"box_file": str(file), "eval_split": "val"})
