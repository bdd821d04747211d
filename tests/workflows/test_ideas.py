"""What the teaching cells of the training notebooks show is what the networks are and do."""

import ast
import re
import shlex
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from posekit.config.resolve import resolve
from posekit.files.paths import project_root
from posekit.models import create_model, describe, list_models
from posekit.models.ldcrn import DenseBlock
from posekit.models.lpn import GlobalContext
from posekit.models.lsdnet import survival_probabilities
from posekit.workflows.training import source
from posekit.workflows.training.architecture import stages
from posekit.workflows.training.ideas import PICTURES
from posekit.workflows.training.ideas.pose_machine import gates_and_memory, spread
from posekit.workflows.training.ideas.top_down import attention_of, reuse, survival

PAPERS = sorted({describe(name).stem for name in list_models()} & {
    path.stem.removeprefix("train_") for path in (project_root() / "notebooks").glob("train_*")
})  # fmt: skip
by_paper = pytest.mark.parametrize("paper", PAPERS)


def experiment(model: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(task=SimpleNamespace(model=model), settings=SimpleNamespace(seed=3))


def drawn(name: str, *inputs: torch.Tensor, **options) -> dict[str, tuple]:
    """Name of each stage -> the shapes of its branches and how often it was computed."""
    model = create_model(name, **options).eval()
    found = stages(model, lambda: model(*inputs))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    return {stage.name: (stage.shapes, stage.times) for stage in found}


def test_a_resnet_goes_down_by_32_and_three_deconvolutions_bring_it_back():
    found = drawn("pose_resnet_50", torch.zeros(1, 3, 64, 96), width=0.25)
    sizes = {name: (shapes[0], times) for name, (shapes, times) in found.items()}
    down = {"conv1": (16, 32, 48), "layer1": (64, 16, 24), "layer2": (128, 8, 12)}
    down |= {"layer3": (256, 4, 6), "layer4": (512, 2, 3)}
    up = {"0": (64, 4, 6), "3": (64, 8, 12), "6": (64, 16, 24)}
    up = {f"deconv_layers.{number}": shape for number, shape in up.items()}
    expected = down | up | {"final_layer": (17, 16, 24)}
    assert sizes == {name: (shape, 1) for name, shape in expected.items()}
    assert list(sizes) == list(expected)


def test_hrnet_has_a_row_more_in_every_stage_and_exchanges_one_four_and_three_times():
    found = drawn("hrnet_w32", torch.zeros(1, 3, 64, 64), width=0.25)
    rows = [(8 << i, 16 >> i, 16 >> i) for i in range(4)]
    branches = {name: shapes for name, (shapes, _) in found.items() if name.startswith("stage")}
    numbers = {"stage2.0": 2, **{f"stage3.{m}": 3 for m in range(4)}}
    numbers |= {"stage4.0": 4, "stage4.1": 4, "stage4.2": 1}
    assert branches == {name: rows[:count] for name, count in numbers.items()}


def test_an_hourglass_goes_down_and_up_and_lpm_repeats_a_step_for_each_frame():
    model = create_model("hourglass_1", width=0.125).eval()
    found = stages(model, lambda: model(torch.zeros(1, 3, 128, 128)))
    heights = [stage.shapes[0][1] for stage in found if stage.name == "hg.0"]
    assert heights == [16, 8, 4, 8, 16, 32]
    inputs = torch.zeros(1, 4, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    found = drawn("lpm", *inputs, width=0.125)
    assert {name: times for name, (_, times) in found.items() if times > 1} == {
        "gates_x": 4, "gates_h": 3, "head": 4
    }  # fmt: skip
    assert found["stage1.conv1"] == ([(16, 32, 32)], 1) and found["head"][0] == [(15, 4, 4)]


@torch.no_grad()
def test_the_gates_shown_make_the_memory_that_a_stream_carries():
    torch.manual_seed(0)
    model = create_model("lpm", width=0.125, weight_init="he").eval()
    frames, centre = torch.randn(1, 3, 3, 32, 32), torch.rand(1, 1, 32, 32)
    found = gates_and_memory(model, lambda: model(frames, centre))
    state, channels = None, model.gates_h.in_channels
    assert found.shape == (3, 4, channels, 4, 4)
    for t, (entry, forget, leave, cell) in enumerate(found):
        _, state = model.step(frames[:, t], centre, state)
        assert torch.allclose(cell, state.cell[0], atol=1e-6)
        assert torch.allclose(leave * cell.tanh(), state.hidden[0], atol=1e-6)
        assert 0 < entry.min() and entry.max() < 1
        assert forget.isnan().all() if t == 0 else 0 < forget.min() and forget.max() < 1
    assert not model.gates_x._forward_hooks


@torch.no_grad()
def test_the_attention_shown_is_the_one_that_the_context_block_adds_by():
    torch.manual_seed(0)
    block, x = GlobalContext(32), torch.randn(2, 32, 5, 7)
    look = attention_of(block.conv_mask(x))
    assert look.shape == (2, 5, 7) and torch.allclose(look.sum((1, 2)), torch.ones(2))
    context = (x * look[:, None]).sum((2, 3), keepdim=True)
    assert torch.allclose(x + block.channel_add_conv(context), block(x), atol=1e-5)


@pytest.mark.parametrize(("rule", "last"), [("linear", 0.5), ("constant", 0.2), ("off", 0.5)])
def test_survival_is_drawn_from_the_network_itself(rule, last):
    model = create_model("lsdnet_w32", width=0.125, survival=rule, p_last=last)
    before = torch.get_rng_state()
    figure, _, _ = survival(experiment(model), samples=12)
    assert torch.equal(torch.get_rng_state(), before)
    above, below = figure.axes
    line = above.lines[0].get_ydata()
    assert np.array_equal(line, survival_probabilities(rule, last)) and len(line) == 28
    shares = [bar.get_height() for bar in above.patches]
    assert np.allclose(shares, line, atol=0.06)
    fields = below.collections[0].get_array()
    assert fields.shape == (12, 28) and set(np.unique(fields)) <= {0, 1}
    assert (fields == 1).all() == (rule == "off")


def test_reuse_shows_which_layer_is_listened_to():
    block = DenseBlock(8, 4)
    with torch.no_grad():
        block.denselayer4.conv1.weight[:, 8:12] = 9  # what the first layer added
    table = reuse(block)
    assert np.array_equal(np.isnan(table), np.triu(np.ones((4, 4), bool), 1))
    assert np.unravel_index(np.nanargmax(table), table.shape) == (3, 1)


def test_spread_of_a_gaussian_is_its_own():
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(96.0), indexing="ij")
    gaussian = torch.exp(-((x - 40) ** 2 + (y - 70) ** 2) / (2 * 8**2))
    assert spread(gaussian).item() == pytest.approx(8 * 2**0.5, rel=1e-3)
    assert spread(gaussian - 5 * (gaussian == 0)).item() == pytest.approx(8 * 2**0.5, rel=1e-3)


@pytest.mark.parametrize("network", sorted(PICTURES, key=lambda kind: kind.__name__))
def test_the_decisive_lines_are_few_and_from_the_networks_own_file(network):
    shown = source(experiment(network.__new__(network))).data
    code = shown.partition("```python\n")[2].removesuffix("\n```")
    assert 15 <= code.count("\n") <= 60
    file = sys.modules[network.__module__]
    text = re.sub(r"\s+", " ", open(file.__file__).read())
    assert file.__name__ in shown
    parts = [part for part in code.split("\n\n") if not part.startswith("# ")]
    assert all(re.sub(r"\s+", " ", part) in text for part in parts)


@by_paper
def test_a_notebook_teaches(paper):
    book = nbformat.read(project_root() / "notebooks" / f"train_{paper}.ipynb", as_version=4)
    kinds = {
        kind: [c.source for c in book.cells if c.cell_type == kind] for kind in ("markdown", "code")
    }
    assert any(text.count("$$") >= 2 for text in kinds["markdown"])
    for step in ("architecture", "source", "idea"):
        assert sum(f"lab.{step}(exp)" in text for text in kinds["code"]) == 1
    cell = ast.parse(kinds["code"][0]).body
    usual = {node.target.id: ast.literal_eval(node.value) for node in cell} | {"source": "sample"}
    settings = resolve(paper, dict(usual)).settings
    lines = re.findall(r"^- `(papermill .+?)`: ", kinds["markdown"][-1], re.M)
    assert kinds["markdown"][-1].startswith("## Try this") and len(lines) == 3
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["papermill", f"notebooks/train_{paper}.ipynb", "out.ipynb"]
        given = dict(zip(words[4::3], words[5::3], strict=True))
        assert resolve(paper, usual | given).settings != settings
