"""The steps of notebooks/convert_weights.ipynb, on files of every origin."""

import ast
import json
from pathlib import Path

import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.weights import load_weights, read_metadata, save_weights
from posekit.workflows import conversion
from posekit.workflows.conversion import ConversionKnobs

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "convert_weights.ipynb"


def defaults() -> dict:
    """The parameters cell as a kernel runs it."""
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = next("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    assert all(field.description in source for field in ConversionKnobs.model_fields.values())
    return {n.target.id: ast.literal_eval(n.value) for n in ast.parse(source).body}


def run(**knobs) -> tuple[conversion.Conversion, list[str]]:
    job = conversion.start(defaults() | knobs)
    steps = (conversion.load, conversion.save, conversion.export, conversion.finish)
    return job, [job.text(), *(step(job) for step in steps)]


def test_parameters_cell_declares_the_knobs():
    assert defaults() == ConversionKnobs().model_dump()


def test_a_checkpoint_becomes_a_file_that_says_what_it_is(tmp_path):
    theirs = create_model("lpn_50", 16, width=0.125, attention="se")
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "theirs.pth.tar")
    first = {"weights": str(tmp_path / "theirs.pth.tar"), "network": "lpn_50", "skeleton": "mpii"}
    first |= {"width": 0.125, "attention": "se", "onnx": False, "folder": str(tmp_path / "out")}
    job, said = run(**first)
    assert "not used: epoch" in said[1] and "every number equal" in said[2]
    path = tmp_path / "out" / "weights.safetensors"
    noted = read_metadata(path)
    assert (noted["model"], noted["attention"], noted["skeleton"]) == ("lpn_50", "se", "mpii")
    again, said = run(weights=str(path), folder=str(tmp_path / "again"), image_size=[64, 64])
    assert again.settings.width == 0.125 and again.settings.options()["attention"] == "se"
    assert again.exported.difference <= 1e-4 and "lpn_50.onnx" in said[3]
    copy = create_model("lpn_50", 16, width=0.125, attention="se")
    load_weights(copy, tmp_path / "again")
    own = theirs.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in copy.state_dict().items())
    with pytest.raises(PosekitError, match="choose another folder"):
        run(weights=str(path), folder=str(tmp_path / "again"))


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"network": "hrnet_w32"}, "weights: set it"),
        ({"weights": "absent.pth"}, "no such file or run folder"),
        ({"weights": "~nosuchuser/absent.pth"}, "no such file or run folder"),
        ({"weights": "cut.pth"}, "network: set it, no file says.*\n.*cut.pth: does not load"),
        ({"weights": "a.pth", "network": "hrnet_w23"}, "did you mean hrnet_w"),
        ({"weights": "a.pth", "network": "cpm", "skeleton": "coco"}, "cpm has pose_machine"),
        (
            {"weights": "a.pth", "network": "hrnet_w32", "skeleton": "body"},
            "skeleton='body': unknown skeleton.* choose one of coco",
        ),
        ({"weights": "odd.safetensors"}, "width='wide'"),
        ({"wieghts": "a.pth"}, "did you mean weights"),
    ],
)
def test_what_makes_no_sense_is_refused(knobs, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"other": torch.zeros(1)}, "a.pth")
    Path("cut.pth").write_bytes(b"PK")
    save_weights(create_model("hourglass_1", width=0.1), "odd.safetensors", {"width": "wide"})
    with pytest.raises(PosekitError, match=message):
        conversion.start(defaults() | knobs)


def test_what_a_file_of_others_was_trained_on_stays_with_it(tmp_path):
    model = create_model("cpm_mobilepose", width=0.05)
    torch.save(model.state_dict(), tmp_path / "cpm_MPII_best.tar")
    knobs = {"weights": str(tmp_path / "cpm_MPII_best.tar"), "network": "cpm_mobilepose"}
    knobs |= {"width": 0.05, "folder": str(tmp_path / "out"), "image_size": [32, 32]}
    with pytest.raises(PosekitError, match="\n  trained_on: .*-p trained_on MPII if its name is"):
        conversion.start(defaults() | knobs)
    run(**knobs, trained_on="MPII")
    again = conversion.start(defaults() | {"weights": str(tmp_path / "out")})
    assert again.settings.trained_on == "MPII"
    assert again.build().description.mean[0] == pytest.approx(255 * 120.22911)
    wrong = defaults() | {"weights": str(tmp_path / "out"), "trained_on": "LSP"}
    with pytest.raises(PosekitError, match="the file notes MPII, not LSP: set that"):
        conversion.start(wrong)


def test_the_pictures_are_of_the_size_in_the_files_name(tmp_path):
    path = tmp_path / "pose_resnet_50_96x64.pth"
    torch.save(create_model("pose_resnet_50", 17, width=0.05).state_dict(), path)
    knobs = {"weights": str(path), "network": "pose_resnet_50", "width": 0.05}
    job = conversion.start(defaults() | knobs)
    assert job.settings.image_size == (96, 64)
    assert "crops of 96x64 by the file's name" in job.text()
    job = conversion.start(defaults() | knobs | {"image_size": [64, 64]})
    assert "crops of 64x64 although the file's NAME SAYS 96x64" in job.text()
