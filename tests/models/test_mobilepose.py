"""The MobilePose-master variants against the repository's own classes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from posekit.errors import PosekitError
from posekit.geometry.skeletons import PENN_ACTION, POSE_MACHINE
from posekit.models import create_model
from posekit.models.families.task import normalised
from posekit.models.mobilepose import EXCHANGED, CaffeNames, named_training_data
from posekit.weights import load_weights, read_metadata, save_weights
from posekit.weights.onnx_export import export_onnx
from posekit.weights.onnx_reader import open_session

RECORDS = {
    "cpm_mobilepose": "reference_cpm",
    "lpm_mobilepose": "reference_lpm",
    "lpm_mobilepose_unshared": "reference_lpm_raw",
}


@torch.no_grad()
@pytest.mark.parametrize("name", RECORDS)
def test_reference_network(golden, blank, fill_reference, clip, same_maps, name):
    record = golden(RECORDS[name])
    model = blank(name)
    layout = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    assert layout == record["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == record["n_trainable"]
    case = record["cases"][0]  # the 128 px one with the smallest batch
    maps = fill_reference(model)(*clip(case["B"], case["H"], case["W"]))
    same_maps(maps, case.get("out_loss", case["out"]))


@torch.no_grad()
def test_one_step_of_the_memory(golden, hashed):
    record = golden("lstm_step")
    net = CaffeNames(num_keypoints=14)
    net._add_gates(6, record["hidden"])
    for k, name in enumerate(record["names_in_k_order"]):
        if name.startswith("scale"):
            continue
        layer, part = name.split(".")
        layer = layer.removeprefix("bn_") + "_stage6"
        target = getattr(getattr(net, layer), part)
        r = hashed(k, target.numel()).reshape(target.shape)
        normalisation = {"weight": 1 + 0.1 * r, "running_var": 1 + 0.1 * r**2}
        value = 0.01 * r
        if part in normalisation:
            value = normalisation[part] if r.ndim == 1 else (6 / 36) ** 0.5 * r
        target.copy_(value)
    i = torch.arange(48, dtype=torch.float64).reshape(record["input_shape"])
    x, hidden, cell = (0.31 * i).sin(), 0.7 * (0.23 * i).cos(), 0.9 * (0.41 * i + 1).sin()
    hidden, cell = net.eval()._lstm_step(6, x.float(), hidden.float(), cell.float())
    for name, got in {"h": hidden, "c": cell}.items():
        want = torch.tensor(record["reference"][name])
        torch.testing.assert_close(got.flatten(), want, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("time", [1, 2, 7])
def test_shared_weights_take_any_length(time):
    frames, centre = torch.rand(1, time, 3, 32, 32), torch.rand(1, 1, 32, 32)
    for name, extra in {"cpm_mobilepose": 0, "lpm_mobilepose": 1}.items():
        maps = create_model(name, width=0.1).eval()(frames, centre)
        assert maps.shape == (1, time + extra, 15, 3, 3)


def test_unshared_weights_take_five_frames():
    model = create_model("lpm_mobilepose_unshared", width=0.1)
    with pytest.raises(PosekitError, match="clips of 5 frames, got 4"):
        model(torch.zeros(1, 4, 3, 32, 32), torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize(
    ("trained_on", "white"),  # 255 in red as the repository feeds it: (1 - mean) / deviation
    [
        (None, (1 - 0.444209560584002) / 0.2376052360504069),
        ("LSP", (1 - 0.444209560584002) / 0.2376052360504069),
        ("MPII", (1 - 120.22911071777344) / 59.56351852416992),
        ("PennAction", (1 - 2.163123717539921) / 1.1889148078779097),
    ],
)
def test_images_enter_as_they_did_in_training(trained_on, white):
    model = create_model("lpm_mobilepose", width=0.1, trained_on=trained_on)
    seen = normalised(torch.full((1, 1, 3, 8, 8), 255, dtype=torch.uint8), model)
    assert seen[0, 0, 0, 0, 0].item() == pytest.approx(white, rel=1e-5)
    assert model.description.trained_on == trained_on


def numbered(name, trained_on=None):
    """A network of which channel k is k everywhere, whatever it sees."""
    model = create_model(name, width=0.05, trained_on=trained_on).eval()
    for layer, value in model.named_parameters():
        value.data.zero_()
        if layer == "final_layer.bias" or layer.startswith(("conv7", "Mconv5", "Mres5")):
            value.data[...] = torch.arange(15) if value.ndim == 1 else value
    return model


# Our ankles, knees, hips, ...: where those of the repository's Penn Action come out.
OF_PENN_ACTION = [5, 4, 3, 2, 1, 0, 11, 10, 8, 9, 7, 6, 13, 12, 14]


@torch.no_grad()
@pytest.mark.parametrize("name", RECORDS)
def test_penn_actions_left_is_the_persons_own(name):
    clip = torch.rand(1, 5, 3, 32, 32), torch.rand(1, 1, 32, 32)
    for trained_on in (None, "LSP", "MPII", "PennAction"):
        maps = numbered(name, trained_on)(*clip)
        order = OF_PENN_ACTION if trained_on == "PennAction" else list(range(15))
        assert (maps[0, :, :, 0, 0] == torch.tensor(order)).all(), trained_on
    with pytest.raises(PosekitError, match="weights of Penn Action have 14 joints"):
        create_model(name, 16, width=0.05, trained_on="PennAction")
    with pytest.raises(PosekitError, match="'LSP', 'MPII' or 'PennAction'"):
        create_model(name, width=0.05, trained_on="COCO")


def test_the_exchange_is_that_of_the_repositorys_joint_map():
    theirs, right = [12, 10, 8, 7, 9, 11, 3, 5, 13, 0, 6, 4, 2, 1], PENN_ACTION.joints
    # Channel k of theirs was taught joint theirs[k] of Penn Action; 13 is the neck made of others.
    taught = [(*right, "neck")[joint] for joint in theirs]
    assert [taught[k].replace("head_top", "head") for k in EXCHANGED[:14]] == [
        joint.replace("head_top", "head") for joint in POSE_MACHINE.joints
    ]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("lpm_Penn_best.pth.tar", "PennAction"),
        ("lpm_MPII_best.tar", "MPII"),
        ("experiments/lpm/PennAction/lpm_MPII_best.tar", "MPII"),
        ("experiments/lpm/MPII/lpm_CPM_best.tar", "LSP"),
        ("experiments/cpm/PennAction/2020-06-12-10-00_best.pth.tar", "PennAction"),
        ("somewhere/best.pth.tar", None),
    ],
)
def test_names_of_files_speak_for_a_data_set(path, data):
    assert named_training_data(Path(path)) == data


@torch.no_grad()
def test_what_it_was_trained_on_goes_where_the_weights_go(tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_weights(numbered("lpm_mobilepose", "PennAction"), weights)
    assert read_metadata(weights)["trained_on"] == "PennAction"
    said = load_weights(create_model("lpm_mobilepose", width=0.05), weights)
    assert "the file notes PennAction, not none: set that" in str(said)
    model = create_model("lpm_mobilepose", width=0.05, trained_on="PennAction")
    assert load_weights(model, weights).converted == ()
    torch.save(model.state_dict(), tmp_path / "lpm_Penn_best.pth.tar")
    said = load_weights(
        create_model("lpm_mobilepose", width=0.05), tmp_path / "lpm_Penn_best.pth.tar"
    )
    assert "add -p trained_on PennAction if its name is right, else LSP or MPII" in str(said)
    export_onnx(model, tmp_path / "lpm.onnx", (32, 32))
    session = open_session(tmp_path / "lpm.onnx")
    inputs = {"frames": np.zeros((1, 5, 3, 32, 32), "f4"), "centre": np.zeros((1, 1, 32, 32), "f4")}
    assert session.run(None, inputs)[0][0, 3, :, 1, 1].tolist() == OF_PENN_ACTION
    noted = json.loads(session.get_modelmeta().custom_metadata_map["posekit"])
    assert noted["trained_on"] == "PennAction" and noted["mean"][0] == pytest.approx(551.5965, 1e-6)
    assert "trained on: PennAction" in (tmp_path / "lpm.md").read_text()
