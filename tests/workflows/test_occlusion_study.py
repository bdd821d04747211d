import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posekit.data.annotations import Annotations, with_joints
from posekit.data.scores import official_score
from posekit.errors import PosekitError
from posekit.files.paths import project_root
from posekit.geometry.skeletons import LSP, Skeleton
from posekit.models import create_model
from posekit.workflows import evaluation
from posekit.workflows.occlusion_study import figures, measure, setup, tables
from posekit.workflows.occlusion_study.figures import occlude_by_hand
from posekit.workflows.occlusion_study.setup import UNOCCLUDED, Study, StudySettings


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_interval_holds_the_mean_and_repeats(people, images, seed):
    rng = np.random.default_rng(seed)
    values, of = rng.normal(size=people), rng.integers(0, images, people)
    mean, low, high = tables.bootstrap(values, of, 200, seed)
    assert mean == pytest.approx(values.mean()) and low <= high
    assert tables.bootstrap(values, of, 200, seed) == (mean, low, high)
    missing = np.append(values, np.nan)
    assert tables.bootstrap(missing, np.append(of, 99), 200, seed) == (mean, low, high)
    assert tables.bootstrap(np.full(people, 3.0), of, 200, seed) == pytest.approx((3.0,) * 3)


def test_interval_draws_images_and_not_people():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 20)
    alone = tables.bootstrap(values, np.arange(600), 1000, 0)
    shared = tables.bootstrap(values, np.repeat(np.arange(30), 20), 1000, 0)
    assert shared[2] - shared[1] > 3 * (alone[2] - alone[1])
    assert np.isnan(tables.bootstrap(np.array([np.nan]), np.array([0]), 100, 0)).all()


@pytest.fixture
def study():
    """Two networks, three people: the second loses 10 points more at the first joint."""
    chosen = StudySettings(resamples=200)
    people = SimpleNamespace(skeleton=LSP, dataset="LSP", group=np.array(["a", "a", "b"]))
    run = SimpleNamespace(label="LSP", keep=lambda heading, table, file="": table)
    named = [SimpleNamespace(name=name) for name in ("one", "two")]
    made = Study(SimpleNamespace(settings=chosen), run, None, None, named, people, [])
    clean = np.full((3, 14), 80.0)
    clean[1, 3] = np.nan
    occluded = np.array([True, True, False])
    for extra in (0, 14):
        points = {UNOCCLUDED: clean}
        for effect in chosen.effects:
            for occlusion in made.occlusions(effect=effect):
                points[occlusion] = clean - 5.0
                points[occlusion][:, 0] -= extra
                made.occluded[occlusion] = occluded
        made.points.append(points)
    return made


def test_drops_count_the_people_who_were_occluded(study):
    occlusion = study.occlusions()[0]
    np.testing.assert_allclose(study.drop(0, occlusion), [5, 5, np.nan])
    np.testing.assert_allclose(study.drop(1, occlusion), [6, 5 + 14 / 13, np.nan])
    table = tables.drops(study)
    assert table["people"].eq(2).all() and table["one"].eq(5).all() and table["two"].eq(6).all()
    by_joint = figures.mean_drop_by_joint(study, 1, study.occlusions())
    assert by_joint.shape == (7, 14)
    assert (by_joint[:, 0] == 19).all() and (by_joint[:, 1:] == 5).all()


def test_paired_difference_is_of_the_same_people(study):
    table = tables.intervals(study)
    second = table[(table["network"] == "two") & (table["occluded"] == "any part")].iloc[0]
    assert second["minus the first"] == pytest.approx((1 + 14 / 13) / 2, abs=0.01)
    assert second["differs"] == "yes" and table["differs"].iloc[0] == ""


def test_lists_are_read_as_the_table_prints_them():
    assert StudySettings(effects='["blur", "black"]').effects == ("blur", "black")
    assert StudySettings(effects="blur, black").effects == ("blur", "black")


def test_bad_parameters_are_refused_before_any_work():
    for parameters, words in (
        ({"efects": ["blur"]}, "did you mean effects"),
        ({"effects": ["fog"]}, "effects item 0='fog'"),
        ({"sizes": [0.0]}, "must be greater than 0"),
        ({"networks": "reports/nosuch"}, "no such run folder, file or network"),
        ({"dataset": "COCOO", "networks": "hrnet_w32@random"}, "did you mean COCO"),
    ):
        with pytest.raises(PosekitError, match=words):
            setup.start(dict(parameters))


def test_parameters_cell_declares_the_settings():
    path = project_root() / "notebooks" / "occlusion.ipynb"
    book = json.loads(path.read_text(encoding="utf-8"))
    cell = next(c for c in book["cells"] if "parameters" in c["metadata"].get("tags", []))
    lines = "".join(cell["source"]).splitlines()
    names = [line.partition(":")[0] for line in lines if not line.startswith("#")]
    assert len(lines) <= 20 and set(names) <= set(StudySettings.model_fields)


def test_a_study_of_an_untrained_network_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    given = {"networks": "lpm@random", "dataset": "PennAction", "joints": False, "sizes": [1]}
    study = setup.start(given | {"effects": "black", "source": "sample"})
    assert "NOT TRAINED" in study.text()
    measure.measure(study)
    shown = UNOCCLUDED, study.occlusions()[1]
    clean, occluded = (study.predictions[0][one].keypoints for one in shown)
    assert clean.shape == (len(study.people), 14, 2) and (clean != occluded).any()
    steps = tables.drops, tables.intervals, figures.drop_by_joint, figures.drop_by_size
    for step in (figures.drop_by_part, *steps):
        step(study)
    assert "set people to all" in tables.single_joints(study)
    assert "no single joint was occluded" in figures.drop_by_joint(study, joints=True)
    assert figures.before_and_after(study).data.startswith(b"\x89PNG")
    assert occlude_by_hand(study).data.startswith(b"\x89PNG")
    tables.finish(study)
    report = (study.run.folder / "report.html").read_text(encoding="utf-8")
    assert "NOT TRAINED" in report and "Tilting at windmills" in report
    record = study.run.record
    answer = "With one part occluded, in points of PCK@0.2 box: lpm loses "
    assert record.answer.startswith(answer)
    assert record.baseline == {} and record.trained is False
    places = [
        report.index(text) for text in (record.answer, "The points that a person loses", "<table")
    ]
    assert places == sorted(places)
    assert places[-1] < report.index('<h2 id="Published-training-with-occlusion')


def test_a_person_is_occluded_by_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    given = {
        "networks": "hrnet_w32@random",
        "dataset": "COCO",
        "source": "sample",
        "interactive": True,
    }
    controls, panels = occlude_by_hand(setup.start(given)).children
    headline, row = panels.children
    assert headline.value.startswith("COCO (generated sample), ") and "RANDOM" in headline.value
    annotation, prediction, heat_maps = (column.children[1] for column in row.children)
    assert annotation.layout.width == "260px" and annotation.layout.max_width == "100%"
    shown = []
    _, _, target, _, _, x, _ = controls.children
    for control, value in ((target, "right_arm"), (target, "joint nose"), (target, "disc"), (x, 0)):
        control.value = value
        shown.append((bytes(prediction.value), bytes(heat_maps.value)))
    assert all(p.startswith(b"\xff\xd8") and h.startswith(b"\xff\xd8") for p, h in shown)
    assert len({p for p, _ in shown}) == len({h for _, h in shown}) == 4


def test_networks_are_compared_on_the_joints_that_all_know(study):
    study.run.record = SimpleNamespace(notes=[])
    study.run.update = study.run.record.__dict__.update
    for occlusion, points in study.points[1].items():
        study.points[1][occlusion] = points.copy()
        study.points[1][occlusion][:, 13] = np.nan
    measure.compare_same_joints(study)
    for points in study.points:
        for values in points.values():
            assert np.isnan(values[:, 13]).all() and not np.isnan(values[:, :3]).any()
    assert study.run.record.notes == [
        "1 joints that not every network knows are not scored for any"
    ]


def test_a_data_root_is_never_passed_over_for_the_sample(tmp_path, monkeypatch):
    run = tmp_path / "hrnet-COCO-sample-1"
    run.mkdir()
    (run / "metrics.json").write_text(json.dumps({"dataset": "COCO", "source": "sample"}))
    with pytest.raises(PosekitError, match="coco"):
        setup.start({"networks": str(run), "data_root": str(tmp_path)})


def test_a_file_of_mobilepose_asks_what_it_was_trained_on(monkeypatch, tmp_path):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    torch.save(create_model("cpm_mobilepose").state_dict(), path := tmp_path / "cpm_LSP_best.tar")
    given = {"networks": f"cpm_mobilepose@{path}", "dataset": "LSP", "source": "sample"}
    with pytest.raises(PosekitError, match="add -p trained_on LSP if its name is right"):
        setup.start(dict(given))
    study = setup.start(given | {"trained_on": "MPII"})
    assert study.estimators[0].task.model.description.trained_on == "MPII"


def of_everybody(tmp_path, monkeypatch, model, skeleton=None, **given):
    """A study of everybody with an occluded torso, and the same network evaluated."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(setup, "PARTS", ("torso",))
    given = {"batch_size": 8, "workers": 0, **given}
    asked = {"networks": model, "people": "all", "effects": "black", "sizes": [1]}
    study = setup.start(asked | given | {"joints": False, "skeleton": skeleton})
    measure.measure(study)
    evaluated = evaluation.start({"model": model, **given})
    for step in (evaluation.load, evaluation.build, evaluation.evaluate):
        step(evaluated)
    return study, tables.drops(study).set_index("occluded"), evaluated


@pytest.mark.parametrize(
    ("model", "dataset", "skeleton"),
    [("lpn_50@random", "MPII", "mpii"), ("lpm@random", "PennAction", None)],
)
def test_nothing_occluded_is_the_score_of_the_evaluation(
    tmp_path, monkeypatch, model, dataset, skeleton
):
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    given = {"dataset": dataset, "source": "sample"}
    study, drops, evaluated = of_everybody(tmp_path, monkeypatch, model, skeleton, **given)
    (score,) = study.scores.values()
    again = official_score(evaluated.test, evaluated.predictions, evaluated.root)
    assert (score.values, score.protocol) == (again.values, again.protocol)
    assert score.mean == evaluated.run.record.metrics["Mean"]
    assert drops[f"{study.names[0]} drop"]["nothing"] == 0 and "torso" in drops.index
    assert (study.predictions[0][UNOCCLUDED].keypoints == evaluated.predictions.keypoints).all()
    # The mean over joints, each as often as it is annotated, is the score of all of them.
    counts = (study.people.visible & (study.people.reference > 0)[:, None]).sum(0)
    alone = tables.single_joints(study)[study.names[0]].to_numpy()
    known = ~np.isnan(alone)
    mean = alone[known] @ counts[known] / counts[known].sum()
    assert mean == pytest.approx(score.mean, abs=0.01)
    tables.finish(study)
    assert study.run.record.metrics[f"Mean {study.names[0]}"] == score.mean


@pytest.mark.real
@pytest.mark.parametrize("boxes", ["ground_truth", "detections"])
def test_ap_under_attack_on_real_pictures(tmp_path, monkeypatch, boxes):
    root = os.environ.get("POSEKIT_REAL_DATA")
    if not root or "POSEKIT_SLOW" not in os.environ and boxes == "detections":
        pytest.skip("POSEKIT_REAL_DATA names no folder; POSEKIT_SLOW=1 adds detections")
    network = str(Path(root, "checkpoints/ultralight_nano_simplepose_256x192.onnx"))
    given = {"dataset": "COCO", "data_root": root, "source": "real", "boxes": boxes}
    study, drops, evaluated = of_everybody(tmp_path, monkeypatch, network, **given)
    name = study.names[0]
    assert study.scores[name].values == evaluated.run.record.metrics
    assert (study.predictions[0][UNOCCLUDED].keypoints == evaluated.predictions.keypoints).all()
    expected = {"ground_truth": [63, 0.4792], "detections": [127, 0.2727]}[boxes]
    assert drops.loc["torso", ["people", f"{name} AP"]].tolist() == expected
    if boxes == "ground_truth":
        # Of pycocotools, on the truth with all other joints not annotated.
        assert tables.single_joints(study)[name][:3].tolist() == [0.5300, 0.4742, 0.5487]


def test_detected_people_have_the_joints_of_whom_they_overlap():
    truth = {"keypoints": np.arange(6.0).reshape(3, 1, 2), "visible": np.ones((3, 1), bool)}
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 10, 10]], float)
    star = Skeleton("one", ("head",), (), {})

    def table(boxes, image, **more):
        count = len(boxes)
        names = np.array([f"{number}.jpg" for number in image])
        usual = {"keypoints": np.zeros((count, 1, 2)), "visible": np.zeros((count, 1), bool)}
        columns = {"boxes": boxes, "reference": np.full(count, np.nan), **usual, **more}
        return Annotations(
            "Toy", "test", "real", star, image=names, images=None, image_id=image, **columns
        )

    annotated = table(boxes, np.array([1, 1, 2]), reference=np.ones(3), **truth)
    found = table(boxes[[1, 0, 0, 0]] + [[0], [1], [9], [0]], np.array([1, 1, 2, 3]))
    joined = with_joints(found, annotated)
    assert joined.visible[:, 0].tolist() == [True, True, False, False]
    assert joined.keypoints[:2, 0].tolist() == [[2, 3], [0, 1]]
    assert (joined.boxes == found.boxes).all() and "2 of 4 detected" in joined.notes[-1]


def test_a_network_without_a_scored_joint_has_no_official_score(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    given = {"networks": "cpm@random", "dataset": "COCO", "source": "sample", "people": "all"}
    with pytest.raises(PosekitError, match="COCO scores nose"):
        setup.start(given)
