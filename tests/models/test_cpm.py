"""CPM against the original caffe network."""

import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import cost, create_model


@torch.no_grad()
def test_original_network(golden, blank, fill_caffe, clip, same_maps):
    record = golden("caffe_cpm")
    model = fill_caffe(blank("cpm"), record["params"])
    for case in record["cases"]:
        frames, centre = clip(case["B"], case["H"], case["W"])
        same_maps(model(frames[:, 0], centre), case["stages"])


def test_cost(blank):
    model = blank("cpm")
    for size, gmacs in {256: 84.90, 368: 175.44}.items():
        images = torch.empty(1, 3, size, size, device="meta")
        counted = cost(model, images, images[:, :1])
        assert counted.params == 31_219_866
        assert counted.gmacs == pytest.approx(gmacs, abs=0.005)
    assert model.training, "counting must leave the network as it was"


def test_a_loss_on_the_last_stage_reaches_every_parameter():
    torch.manual_seed(0)
    model = create_model("cpm", width=0.1)
    images, centre = torch.rand(1, 3, 32, 32) - 0.5, torch.rand(1, 1, 32, 32)
    model(images, centre)[:, -1].sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_dropout_acts_in_the_first_stage_while_training():
    model = create_model("cpm", width=0.1)
    images, centre = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    assert not torch.equal(model(images, centre), model(images, centre))
    model.eval()
    assert torch.equal(model(images, centre), model(images, centre))


def test_initial_weights_are_the_papers():
    torch.manual_seed(0)
    for name, value in create_model("cpm").named_parameters():
        if name.endswith("bias"):
            assert not value.any(), name
        elif value.numel() > 1e5:
            assert abs(float(value.detach().std()) - 0.01) < 1e-4, name


def test_he_weights_keep_the_size_of_activations():
    torch.manual_seed(0)
    images, centre = torch.randn(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    spread = {}
    for init in ("paper", "he"):
        model = create_model("cpm", width=0.1, weight_init=init).eval()
        spread[init] = float(model(images, centre).detach()[:, 0].std())
    assert spread["paper"] < 0.01 and 0.1 < spread["he"] < 10


@pytest.mark.parametrize(
    ("images", "centre", "message"),
    [
        ((1, 3, 60, 64), (1, 1, 60, 64), "60x64.*multiples of 8"),
        ((1, 5, 3, 64, 64), (1, 1, 64, 64), r"expected images \(B, 3, h, w\)"),
        ((2, 3, 64, 64), (1, 1, 64, 64), "centre map has shape"),
    ],
)
def test_inputs_that_do_not_fit_are_named(images, centre, message):
    with pytest.raises(PosekitError, match=message):
        create_model("cpm", width=0.1)(torch.zeros(images), torch.zeros(centre))
