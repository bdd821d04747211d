"""Own data from the file to the network, its report, and everything that opens it again."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

import posekit
from posekit.config.recipes import read_recipe
from posekit.data import DATASETS, dataset
from posekit.data.own import coco_file, deeplabcut, spec
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.geometry import skeletons
from posekit.reporting.record import read_record
from posekit.workflows import own_data as own
from posekit.workflows import training as lab

QUICK = {"device": "cpu", "workers": 0, "width": 0.125, "image_size": [64, 64], "batch_size": 4}
QUICK |= {"epochs": 2, "precision": "fp32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The animal's files as a reader's own, and a folder for runs."""
    root = tmp_path_factory.mktemp("own")
    before = dict(DATASETS), dict(skeletons.SKELETONS)
    name = dataset(spec.animal().address).name
    ensure_sample(name, root, smoke=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEKIT_REPORTS", str(root / "reports"))
        yield root / "animal"
    for table, content in zip((DATASETS, skeletons.SKELETONS), before, strict=True):
        table.clear()
        table.update(content)


def run(folder, file: str = "animal.json", **changes):
    given = {"annotations": str(folder / file), **QUICK, **changes}
    exp = own.start(given)
    for step in (lab.load, lab.build, lab.train, lab.evaluate):
        step(exp)
    exp.summary = lab.finish(exp)
    return exp


@pytest.fixture(scope="module")
def trained(folder):
    return run(folder)


def test_the_run_says_its_data_and_protocol(trained):
    record = read_record(trained.run.folder)
    assert (record.dataset, record.source, record.status) == ("animal", "real", "finished")
    assert record.metric == "PCK@0.2 box" and {"Mean", "OKS-AP", "ear"} <= record.metrics.keys()
    assert record.baseline["mean_pose"] > 0 and "sigmas 0.07" in record.protocol
    assert own.joints(trained)["mirror image"].tolist()[:3] == ["", "right_ear", "left_ear"]
    assert len(own.errors(trained)) == 14
    assert own.suspicious(trained) is not None


@pytest.mark.parametrize("file", ["animal.csv", "animal.slp"])
def test_other_forms_of_the_same_labels_give_the_same_numbers(trained, folder, file):
    other = run(folder, file, links="no" if file.endswith("csv") else None)
    assert other.run.record.metrics == trained.run.record.metrics
    assert other.run.record.fingerprint != trained.run.record.fingerprint


def test_an_interrupted_run_of_the_same_file_goes_on(folder):
    first = own.start({"annotations": str(folder / "animal.json"), **QUICK, "seed": 5})
    first.run.end("interrupted")
    again = own.start({"annotations": str(folder / "animal.json"), **QUICK, "seed": 5})
    assert again.run.folder == first.run.folder and again.run.resumed
    again.run.end("interrupted")
    other = own.start({"annotations": str(folder / "animal.csv"), **QUICK, "seed": 5})
    assert other.run.folder != first.run.folder
    other.run.end("interrupted")


def test_another_process_evaluates_poses_and_converts_without_a_word(trained, folder):
    code = (
        "import sys, numpy as np, posekit\n"
        "from posekit.workflows import evaluation, conversion\n"
        "run = sys.argv[1]\n"
        "found = posekit.Estimator(run)(np.zeros((80, 90, 3), np.uint8), [[5, 5, 60, 60]])\n"
        "print(found.xy.shape, found.skeleton.joints[-1])\n"
        "exp = evaluation.start({'model': run, 'dataset': 'COCO', 'device': 'cpu', 'workers': 0})\n"
        "for step in (evaluation.load, evaluation.build, evaluation.evaluate): step(exp)\n"
        "print(exp.run.record.metrics['Mean'])\n"
        "done = conversion.start({'weights': run})\n"
        "for step in (conversion.load, conversion.save, conversion.export): step(done)\n"
        "print(done.folder)\n"
    )
    command = [sys.executable, "-c", code, str(trained.run.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0] == "(1, 14, 2) right_hind_paw"
    assert float(lines[1]) == pytest.approx(trained.run.record.metrics["Mean"])
    for file in ("hourglass_1.onnx", "weights.safetensors"):
        found = subprocess.run(
            [sys.executable, "-c", code.partition("exp =")[0], f"{lines[2]}/{file}"],
            capture_output=True,
            text=True,
        )
        assert found.stdout.strip() == "(1, 14, 2) right_hind_paw", found.stderr


def test_it_starts_from_another_run_and_the_gain_is_told(trained, folder):
    exp = run(folder, init=str(trained.run.folder), frozen_epochs=1)
    table = own.gain(exp)
    assert {"scratch", trained.run.folder.name} == set(table["from"])
    assert "loaded all" in exp.network


def test_predictions_are_handed_over(trained):
    own.hand_over(trained)
    folder, count = trained.run.folder, len(trained.test.people)
    labels = coco_file.read(folder / "keypoints.json")
    np.testing.assert_allclose(labels.keypoints, trained.predictions.keypoints, atol=1e-3)
    assert labels.joints == trained.test.skeleton.joints
    assert len(pd.read_csv(folder / "keypoints.csv")) == 14 * count
    table = deeplabcut.read(folder / "keypoints-deeplabcut.csv")
    assert len(table.image) == count and table.joints == labels.joints
    pytest.importorskip("tables")
    table = pd.read_hdf(folder / "keypoints-deeplabcut.h5")
    likelihoods = table.xs("likelihood", axis=1, level="coords")
    assert likelihoods.notna().to_numpy().sum() == 14 * count
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "keypoints.slp") as file:
        assert len(file["pred_points"]) == 14 * count and not len(file["points"])
    assert (folder / "hourglass_1.onnx").is_file()


def test_the_estimator_takes_files_and_arrays(trained, tmp_path):
    people = trained.test.people
    image = people.read(0)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    estimator = posekit.Estimator(trained.run.folder)
    boxes = people.boxes[:1].clip(0, [*image.shape[1::-1]] * 2)
    one, two = estimator(image, boxes), estimator(tmp_path / "a.png", boxes)
    np.testing.assert_array_equal(one.xy, two.xy)
    assert one.xy.dtype == np.float32 and one.confidence.shape == (1, 14) and len(one) == 1
    assert estimator(image).xy.shape[1:] == (14, 2)
    with pytest.raises(PosekitError, match="an image is an array"):
        estimator(image / 255)
    with pytest.raises(PosekitError, match="form='xml': choose coco, table"):
        one.save(tmp_path / "a.xml", "xml")


def test_a_recipe_is_scaled_to_the_instances_and_the_minutes(folder):
    given = {"annotations": str(folder / "animal.json"), "device": "cpu", "minutes": 0.01}
    exp = own.start(given)
    settings, origins = exp.settings, exp.config.origins
    assert settings.width == read_recipe("hourglass", "sample.yaml")["width"]
    assert settings.image_size[0] == settings.image_size[1]
    assert 4 <= settings.epochs <= 300 and "instances" in origins["epochs"]
    exp.run.end("interrupted")
    twice = own.start(given | {"minutes": 0.02, "network": "hrnet_w32", "lr": 0.5})
    assert twice.settings.lr == 0.5 and twice.config.origins["lr"] == "you"
    twice.run.end("interrupted")


def test_wrong_parameters_stop_before_any_work(tmp_path):
    with pytest.raises(PosekitError, match="there is no such file"):
        own.start({"annotations": "nowhere.json"})
    with pytest.raises(
        PosekitError, match="anotations: unknown parameter: did you mean annotations"
    ):
        own.start({"anotations": "x.json"})
    (tmp_path / "x.json").write_text(json.dumps([]))
    with pytest.raises(PosekitError, match="field categories is not a list"):
        own.start({"annotations": str(tmp_path / "x.json")})
