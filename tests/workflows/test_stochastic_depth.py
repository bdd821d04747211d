"""Testing with blocks kept or drawn, and nothing left changed afterwards."""

import pytest
import torch

from posekit.models import create_model
from posekit.models.lsdnet import StochasticBlock
from posekit.workflows.stochastic_depth import drawn_at_test, everything_kept


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = create_model("lsdnet_w32", 5, width=0.125).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return model


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32)


@torch.no_grad()
def test_draws_at_test_time_are_luck_and_leave_no_trace(model, images):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(images)
    drawn = drawn_at_test(model)
    first, second = drawn(images), drawn(images)
    torch.manual_seed(1)
    third = drawn.eval()(images)  # evaluation mode does not stop it
    torch.manual_seed(1)
    fourth = drawn(images)
    inside = [m.training for m in drawn.modules() if not isinstance(m, StochasticBlock)]
    assert not any(inside)
    assert not torch.equal(first, second) and torch.equal(third, fourth)
    assert torch.equal(model(images), expected)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@torch.no_grad()
def test_everything_kept_is_the_network_without_stochastic_depth(model, images):
    plain = create_model("lsdnet_w32", 5, width=0.125, survival="off").eval()
    plain.load_state_dict(model.state_dict())
    expected = model(images)
    chances = [m.survival for m in model.modules() if isinstance(m, StochasticBlock)]
    kept = everything_kept(model)(images)
    assert torch.equal(kept, plain(images)) and not torch.equal(kept, expected)
    assert [m.survival for m in model.modules() if isinstance(m, StochasticBlock)] == chances
