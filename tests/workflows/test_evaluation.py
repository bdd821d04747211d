"""Any network through the pipeline: notebooks/evaluate.ipynb step by step."""

import ast
import json
import os
from pathlib import Path

import pytest
import torch
import yaml

from posekit import export_onnx
from posekit.config.resolve import resolve
from posekit.errors import PosekitError
from posekit.inference.open_network import open_estimator
from posekit.models import create_model
from posekit.reporting import run_folder
from posekit.weights import save_weights
from posekit.workflows import evaluation as lab
from posekit.workflows import training
from posekit.workflows.evaluation import EvaluationKnobs

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "evaluate.ipynb"
STRANGER = "checkpoints/ultralight_nano_simplepose_256x192.onnx"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def run(**knobs) -> lab.Evaluation:
    evaluation = lab.start({"workers": 0, **knobs})
    lab.load(evaluation)
    lab.build(evaluation)
    lab.evaluate(evaluation)
    return evaluation


def refusal(**knobs) -> str:
    with pytest.raises(PosekitError) as caught:
        run(**knobs)
    return str(caught.value)


def test_parameters_cell_declares_what_finds_the_network_and_suits_all_networks():
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = next("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    cell = {n.target.id: ast.literal_eval(n.value) for n in ast.parse(source).body}
    assert EvaluationKnobs().model_dump().items() <= cell.items()
    for model in ("hrnet_w32", "cpm", "lp_net_50"):
        dataset = "LSP" if model == "cpm" else "COCO"
        given = {"source": "sample", "model": f"{model}@random", "dataset": dataset}
        assert lab.start(cell | given).found.name == model


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"modle": "hrnet_w32"}, "modle='hrnet_w32': unknown parameter: did you mean model?"),
        ({"model": "hrnet_w23"}, "did you mean hrnet_w32"),
        ({"model": "nowhere.onnx"}, "no such ONNX file"),
        ({"model": "hrnet_w32", "colour": "bgr"}, "colour: not for model='hrnet_w32'"),
        ({"model": "hrnet_w32"}, "hrnet_w32 alone has no weights: write hrnet_w32@FILE"),
        ({"boxes": "mine"}, "boxes='mine'"),
        ({"image_size": "[100, 100]"}, "input size 100x100: height and width must be multiples"),
        ({"gcb": True}, "gcb=True: unknown parameter"),
        (
            {"boxes": "detections", "eval_split": "train"},
            "COCO has no detections of its train split",
        ),
        ({"boxes": "detections", "dataset": "MPII"}, "MPII has no detections of its test split"),
        ({"model": "hrnet_w32", "weights": "absent.pth"}, "there is no such file or run folder"),
        ({"model": "cpm@random"}, "predicts the joints of pose_machine; COCO scores nose"),
    ],
)
def test_mistakes_are_refused(knobs, message, reports):
    assert message in refusal(source="sample", **knobs)
    if message[:5] != "predi":  # joints are compared after reading the data
        assert not list(reports.glob("*"))


@pytest.fixture
def trained(tmp_path) -> Path:
    """The folder of a run."""
    config = resolve("hourglass", {"dataset": "COCO", "source": "sample"})
    made = run_folder.Run.open(config)
    model = create_model(config.network, 17, width=config.settings.width)
    save_weights(model, made.folder / "weights.safetensors", {"skeleton": "coco"})
    made.end("finished")
    return made.folder


def test_a_run_is_opened_by_its_folder(trained):
    evaluation = lab.start({"workers": 0, "source": "sample", "model": str(trained)})
    assert evaluation.found.story.endswith("trained on COCO (generated sample)")
    assert open_estimator(str(trained), CPU).trained


def test_without_a_network_it_is_the_newest_finished_run(trained, monkeypatch):
    monkeypatch.delenv("POSEKIT_SMOKE")
    interrupted = run_folder.Run.open(resolve("lpm", {"dataset": "LSP", "source": "sample"}))
    interrupted.end("interrupted")
    evaluation = lab.start({"workers": 0})
    rows = {name: (value, origin) for name, value, origin in evaluation.config.table()}
    assert rows["model"] == (str(trained), "the newest finished run")
    assert evaluation.settings.dataset == "COCO" and evaluation.config.source == "sample"
    assert evaluation.found.trained and evaluation.run.record.trained
    said = refusal(dataset="LSP")
    assert "no finished run on LSP to take" in said and "hrnet_w32@random" in said


def test_the_box_file_of_a_run_is_not_taken_over_and_this_is_said(trained):
    path = trained / "params.yaml"
    values = yaml.safe_load(path.read_text()) | {"box_file": "/elsewhere/found.json"}
    path.write_text(yaml.safe_dump(values))
    evaluation = lab.start({"workers": 0, "source": "sample", "model": str(trained)})
    lab.load(evaluation)
    said = "on the boxes of found.json, which are not taken over: set box_file to score them"
    assert said in lab.build(evaluation) and said in evaluation.run.record.notes[1]
    assert evaluation.settings.box_file is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        (b"a: [1", "cannot be used"),
        (b"\xff", "cannot be used"),
        (b"just words", "holds no `name: value` lines"),
        (b"", "holds no `name: value` lines"),
        ({"width": "wide"}, "width='wide'"),
        ({"image_size": [0, 0]}, "image_size item 0=0"),
        ({"epochs": None}, "epochs"),
        ({"network": ["hourglass_1"]}, "no network is called"),
    ],
    ids=str,
)
def test_damaged_parameters_of_a_run_are_refused(trained, content, message):
    path = trained / "params.yaml"
    if isinstance(content, dict):
        content = yaml.safe_dump(yaml.safe_load(path.read_text()) | content).encode()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for attempt in (
        lambda: lab.start({"source": "sample", "model": str(trained)}),
        lambda: open_estimator(str(trained), CPU),
    ):
        with pytest.raises(PosekitError) as caught:
            attempt()
        assert str(path) in str(caught.value) and message in str(caught.value)


@pytest.mark.parametrize(
    ("noted", "message"), [({}, "lack skeleton"), ({"skeleton": "dog"}, "skeleton='dog'")]
)
def test_a_run_of_unknown_joints_is_refused(trained, noted, message):
    path = trained / "weights.safetensors"
    save_weights(create_model("hourglass_1", 17, width=0.1), path, noted)
    found = refusal(source="sample", model=str(trained))
    assert str(path) in found and message in found


def test_a_weights_file_alone_tells_the_options_of_its_network(monkeypatch):
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    knobs = {"dataset": "COCO", "source": "sample", "workers": 0, "epochs": 1, "width": 0.03}
    made = training.start("lsdnet", knobs | {"survival": "constant", "p_last": 0.75})
    for step in (training.load, training.build, training.train):
        step(made)
    file = made.run.folder / "weights.safetensors"
    alone = lab.start({"source": "sample", "model": "lsdnet_w32", "weights": str(file)})
    assert "survival constant, p_last 0.75" in alone.found.story
    models = made.task.model, open_estimator(str(file), CPU).task.model
    kept = [[m.survival for m in net.modules() if hasattr(m, "survival")] for net in models]
    assert kept[0] == kept[1] and 0.75 in kept[0]
    by_file, by_folder = (open_estimator(str(p), CPU) for p in (file, made.run.folder))
    assert by_file.framing == by_folder.framing and by_file.task.sigma == by_folder.task.sigma


def test_a_file_of_mpii_is_framed_as_on_mpii(tmp_path):
    torch.save(create_model("hourglass_1", 16).state_dict(), tmp_path / "mpii.pth")
    opened = open_estimator(f"hourglass_1@{tmp_path / 'mpii.pth'}", CPU)
    assert opened.skeleton.name == "mpii" and opened.framing.image_size == (256, 256)
    assert opened.framing.drop == 0  # lowered are MPII's own boxes, whoever looks at them


def test_a_bias_is_taken_off_every_prediction(monkeypatch):
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    knobs = {"source": "sample", "model": "lpn_50@random", "dataset": "MPII"}
    plain, moved = run(**knobs), run(**knobs, test_bias=1.0)
    gap = plain.predictions.keypoints - moved.predictions.keypoints
    assert gap == pytest.approx(1)
    assert "1 px taken off every prediction" in lab.protocol(moved)
    assert "taken off" not in lab.protocol(plain)


def test_a_run_without_weights_is_refused(trained):
    (trained / "weights.safetensors").unlink()
    for attempt in (
        lambda: lab.start({"source": "sample", "model": str(trained)}),
        lambda: open_estimator(str(trained), CPU),
    ):
        with pytest.raises(PosekitError, match="choose a finished training run"):
            attempt()


def test_a_data_set_of_another_kind_is_left_out(tmp_path):
    path = tmp_path / "own.safetensors"
    about = {"width": "0.1", "dataset": '["COCO"]', "skeleton": "coco"}
    save_weights(create_model("hourglass_1", 17, width=0.1), path, about)
    assert open_estimator(str(path), CPU).skeleton.name == "coco"


def test_random_weights_are_called_random(reports):
    evaluation = run(source="sample")
    assert "RANDOM weights" in evaluation.network and "RANDOM weights" in lab.protocol(evaluation)
    lab.error_gallery(evaluation)
    lab.heatmaps(evaluation)
    assert "mean pose" in lab.finish(evaluation)
    (folder,) = reports.glob("evaluate-COCO-sample-*")
    record = json.loads((folder / "metrics.json").read_text())
    assert record["status"] == "finished" and record["model"] == "hrnet_w32"
    assert record["trained"] is False
    report = (folder / "report.html").read_text()
    assert ">hrnet_w32 (UNTRAINED) on COCO" in report
    assert (
        "this run, UNTRAINED" in report
        and "RANDOM weights" in report
        and "only scored, not trained" in report
    )


def test_weights_and_their_export_score_the_same(tmp_path):
    torch.manual_seed(1)
    model = create_model("pose_resnet_50", 17, width=0.1).eval()
    save_weights(model, tmp_path / "net.safetensors")
    export_onnx(model, tmp_path / "net.onnx", (64, 64))
    # pose_resnet takes BGR: the score agrees only if the file says so.
    ours = run(
        source="sample",
        model="pose_resnet_50",
        weights=str(tmp_path / "net.safetensors"),
        width=0.1,
        image_size=[64, 64],
    )
    theirs = run(source="sample", model=str(tmp_path / "net.onnx"))
    assert "bgr" in theirs.config.text() and "the file" in theirs.config.text()
    gap = abs(ours.predictions.keypoints - theirs.predictions.keypoints)
    assert (gap < 1e-3).mean() > 0.99  # a tie between two cells may fall either way
    assert ours.run.record.gmacs == pytest.approx(theirs.run.record.gmacs, rel=0.01)


@pytest.mark.real
@pytest.mark.parametrize("boxes", ["ground_truth", "detections"])
def test_a_strangers_network_on_real_pictures(boxes):
    root = os.environ.get("POSEKIT_REAL_DATA")
    if not root or "POSEKIT_SLOW" not in os.environ and boxes == "detections":
        pytest.skip("POSEKIT_REAL_DATA names no folder; POSEKIT_SLOW=1 adds detections")
    network = str(Path(root, STRANGER))
    evaluation = run(model=network, data_root=root, source="real", boxes=boxes)
    expected = {"ground_truth": 0.5647, "detections": 0.3088}[boxes]
    assert evaluation.run.record.metrics["AP"] == pytest.approx(expected, abs=5e-5)
    assert evaluation.run.record.params_count == 574_400
    if boxes == "detections":
        said = lab.protocol(evaluation)
        assert "over the 16 images with a detection AP is 0.5533" in said
        assert "27 of 43 images have no detected person" in said


class Dots(torch.nn.Module):
    """A stored network of two cells of four pixels."""

    def forward(self, images):
        return torch.nn.functional.avg_pool2d(images, 2)[:, :1].expand(-1, 17, -1, -1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("size", [(60, 50), (4, 8)], ids=str)
def test_a_strangers_network_of_any_size(tmp_path, size):
    path = tmp_path / "dots.onnx"
    torch.onnx.export(Dots(), torch.zeros(1, 3, *size), path, input_names=["x"], dynamo=False)
    knobs = {"model": str(path), "source": "sample"}
    if min(size) < 16:
        assert "image_size item 0=4" in refusal(**knobs)
    else:
        assert run(**knobs).run.record.n_samples > 0
    centred = lab.start({**knobs, "half_pixel": True, "image_size": [16, 16]})
    assert centred.settings.shift_heatmap is False


def test_published_kinds_are_tested_as_their_paper_does(tmp_path):
    state = create_model("lpn_50", 17, attention="se").state_dict()
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "se.pth")
    knobs = {"model": "lpn_50", "weights": str(tmp_path / "se.pth"), "source": "sample"}
    evaluation = lab.start({**knobs, "image_size": [64, 64]})
    assert evaluation.settings.decoder == "soft_argmax_official"
    assert (
        "soft_argmax_official" in evaluation.config.text()
        and "the recipe" in evaluation.config.text()
    )
    lab.load(evaluation)
    assert "se.pth, attention se" in lab.build(evaluation)
    hourglass = lab.start({"model": "hourglass_1@random", "source": "sample"})
    assert hourglass.settings.shift_heatmap is False
    lab.load(hourglass)
    assert "hourglass_1" in lab.build(hourglass)


@pytest.fixture
def mobilepose(tmp_path) -> Path:
    """A narrow checkpoint of MobilePose-master's LPM that finds every left joint on the left."""
    model = create_model("lpm_mobilepose", width=0.05)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "lpm_Penn_best.pth.tar")
    return tmp_path / "lpm_Penn_best.pth.tar"


def test_what_mobilepose_was_trained_on_is_asked_and_told(mobilepose, reports):
    knobs = {"model": "lpm_mobilepose", "weights": str(mobilepose), "dataset": "LSP"}
    knobs |= {"source": "sample", "width": 0.05, "image_size": [64, 64], "workers": 0}
    said = refusal(**knobs)
    assert "add -p trained_on PennAction if its name is right, else LSP or MPII" in said
    assert not reports.exists()
    evaluation = lab.start(knobs | {"trained_on": "penn_action"})
    assert evaluation.settings.trained_on == "PennAction"
    lab.load(evaluation)
    assert "lpm_Penn_best.pth.tar, width 0.05, trained_on PennAction" in lab.build(evaluation)
    about = evaluation.task.model.description
    assert about.mean[0] == pytest.approx(551.596546) and evaluation.task.model.exchanged
    assert "trained_on: PennAction" in (evaluation.run.folder / "params.yaml").read_text()


def test_the_crop_of_a_files_name_is_said(tmp_path):
    path = tmp_path / "pose_resnet_50_96x64.pth"
    torch.save(create_model("pose_resnet_50", 17, width=0.1).state_dict(), path)
    knobs = {"model": "pose_resnet_50", "weights": str(path), "source": "sample", "width": 0.1}
    evaluation = lab.start(knobs)
    rows = {name: (value, origin) for name, value, origin in evaluation.config.table()}
    assert rows["image_size"] == ([96, 64], "the file's name")
    lab.load(evaluation)
    assert "crops of 96x64 by the file's name" in lab.build(evaluation)
    other = run(**knobs, image_size=[64, 64])
    assert "crops of 64x64 although the file's NAME SAYS 96x64" in lab.protocol(other)
