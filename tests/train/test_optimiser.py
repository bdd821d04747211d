"""Our optimisers are PyTorch's, without its compiler."""

import subprocess
import sys

import pytest
import torch

from posekit.config.resolve import resolve
from posekit.train.optimiser import make_optimiser


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_an_optimiser_steps_as_that_of_pytorch(name, kind):
    settings = resolve("lpm", {"source": "sample", "optimiser": name}).settings
    weights = []
    for other in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 4, 3)
        optimiser = make_optimiser(model, settings)
        if other:
            optimiser = kind(optimiser.param_groups)
        assert isinstance(optimiser, kind)
        for _ in range(3):
            optimiser.zero_grad()
            model(torch.rand(2, 3, 8, 8)).square().mean().backward()
            optimiser.step()
        optimiser.load_state_dict(optimiser.state_dict())
        weights.append(model.weight.detach())
    assert torch.equal(*weights)


def test_checking_a_network_and_training_it_do_not_load_the_compiler():
    code = """
import sys
from posekit.config.resolve import resolve
from posekit.geometry.skeletons import skeleton
from posekit.train.optimiser import make_optimiser
settings = resolve("lpm", {"source": "sample"}).settings
settings.check_shapes(skeleton("pose_machine"))
model = settings.build(skeleton("pose_machine"))
optimiser = make_optimiser(model, settings)
for weight in model.parameters():
    weight.grad = weight.detach().clone()
optimiser.step()
optimiser.state_dict()
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
