"""The MobilePose-master variants against the repository's own classes."""

import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.models.mobilepose import CaffeNames

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
    net = CaffeNames()
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


def test_image_statistics_are_those_of_the_checkpoint():
    corrected = create_model("lpm_mobilepose", width=0.1).description
    assert corrected.mean == pytest.approx((113.273, 109.705, 103.007), abs=1e-3)
    raw = create_model("lpm_mobilepose", width=0.1, means="MPII").description
    # The repository feeds nearly constant images: the whole pixel range spans 1/59 of a unit.
    darkest, brightest = ((value - raw.mean[0]) / raw.std[0] for value in (0, 255))
    assert (darkest, brightest) == pytest.approx((-2.0185, -2.0017), abs=1e-4)
    with pytest.raises(PosekitError, match="'corrected', 'LSP', 'MPII' or 'PennAction'"):
        create_model("lpm_mobilepose", width=0.1, means="COCO")
