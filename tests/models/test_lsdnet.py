"""LSDNet: the deterministic parts of the released code, and stochastic depth done right."""

import pytest
import torch
from topdown import blank, filled, gradients_flow, read, same_cost, same_values, sizes, wave
from torch import nn
from torch.nn import functional as F

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.models.hrnet import Exchange
from posekit.models.lsdnet import (
    CoordinateAttention,
    LightBlock,
    SplitBlock,
    StochasticBlock,
    _grouped_down,
    shuffle,
    survival_probabilities,
)
from posekit.weights import load_weights
from posekit.weights.lsdnet import worth

TRUNK = "model_lsdnet_w32_reference_trunk"


def stochastic(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, StochasticBlock)}


def small(**options):
    torch.manual_seed(0)
    return create_model("lsdnet_w32", 5, width=0.25, **options)


def test_layout_is_the_releases_with_what_the_correction_needs():
    record, model = read(TRUNK), blank("lsdnet_w32", 16)
    ours = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    blocks = stochastic(model)
    assert len(blocks) == 96
    new = [key for key, _ in ours if key.startswith("Refine.up.")]
    new += [key for key, _ in ours if key.rpartition(".bn3.")[0] in blocks]
    assert len(new) == 96 * 5 + 3 * 7
    assert [pair for pair in ours if pair[0] not in new] == record["keys"]


@pytest.mark.parametrize(
    ("name", "keypoints", "size", "params", "gmacs"),
    sizes(
        [
            ("lsdnet_w32", 16, (256, 256), 4_306_200, 2.508),
            ("lsdnet_w48", 16, (256, 256), 9_037_764, 4.0085),
        ],
        [
            ("lsdnet_w32", 17, (256, 192), 4_306_233, 1.881),
        ],
    ),
)
def test_cost(name, keypoints, size, params, gmacs):
    same_cost(blank(name, keypoints), size, params, gmacs)


@pytest.fixture(scope="module")
def released():
    """The network with a released checkpoint's weights, and what became of them."""
    record = read(TRUNK)
    model = blank("lsdnet_w32", 16, survival="off").to_empty(device="cpu").eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.reset_parameters()
    return model, load_weights(model, filled(record["keys"])), record


def check_trunk(model, expected):
    x = model.layer1(model.stem(wave([1, 3, 256, 256])))
    stage2, stage3, stage4 = model.stages(x)
    laterals = [f(y) for f, y in zip(model.Refine.laterals, stage4[::-1], strict=True)]
    for part, got in {"stage3": stage3, "stage4": stage4, "laterals": laterals}.items():
        for value, record in zip(got, expected[part], strict=True):
            same_values(value, record)
    same_values(model.final_layer(model.Refine(stage4)), expected["final_no_topdown"])
    return x, stage2


@torch.no_grad()
def test_all_blocks_kept(released):
    model, _, record = released
    x, stage2 = check_trunk(model, record["keep_all"])
    same_values(x, record["layer1"])
    for value, expected in zip(stage2, record["stage2"], strict=True):
        same_values(value, expected)


@torch.no_grad()
def test_all_blocks_left_out(released):
    model, _, record = released
    kept = stochastic(model)
    try:
        for name in kept:
            model.set_submodule(name, nn.Identity())
        check_trunk(model, record["drop_all"])
    finally:
        for name, block in kept.items():
            model.set_submodule(name, block)


def test_what_a_released_checkpoint_is_worth(released):
    model, loaded, record = released
    report = worth(model.state_dict())
    assert loaded.matched == len(model.state_dict()) and loaded.converted == report.steps()
    assert len(report.frozen) == 3 * 96 and all(".weight" in name for name in report.frozen)
    assert len(report.copied) == 5 * 96 and len(report.silenced) == 3 * 7
    assert len(report.trained) + len(report.frozen) == len(record["keys"]) == 2380
    assert sum(map(len, report)) == len(model.state_dict())


def test_another_checkpoint_is_refused_untouched(released):
    model, _, record = released
    state = filled([[name, shape] for name, shape in record["keys"][:50]])
    before = model.conv1.weight.clone()
    with pytest.raises(PosekitError, match="does not fit lsdnet_w32: 2[0-9]+ missing"):
        load_weights(model, state)
    assert torch.equal(model.conv1.weight, before)


def released_block(kind):
    """One of our blocks that the golden file knows as `kind`."""
    return {
        "light_basic(32,32)": lambda: LightBlock(32),
        "Bottle2neck(64,64,downsample=1x1 groups 64 + BN)": lambda: SplitBlock(64, 64),
        "Bottle2neck(256,64)": lambda: SplitBlock(256, 64),
        "SDBlock(64,64) kept": lambda: StochasticBlock(64, 1.0),
        "CoordAtt(64,64)": lambda: CoordinateAttention(64),
        "CoordAtt(256,256)": lambda: CoordinateAttention(256),
    }[kind]().eval()


def load_twice_used_norm(module, keys):
    """Fill a module with released weights, whose stochastic blocks use `bn2` for `bn3` too."""
    state = filled(keys)
    for name in module.state_dict():
        if name not in state and "bn3." in name:
            state[name] = state[name.replace("bn3.", "bn2.")]
    module.load_state_dict(state, strict=True)


@torch.no_grad()
@pytest.mark.parametrize("i", [0, 1, 2, 3, 5, 6])
def test_blocks(i):
    record = read("blocks_lsdnet")["blocks"][i]
    block = released_block(record["name"])
    load_twice_used_norm(block, record["keys"])
    same_values(block(wave(record["input_shape"])), record["output"])


@torch.no_grad()
def test_exchange():
    record = read("blocks_lsdnet")["fuse"]

    def branch(channels):
        return nn.Sequential(*(StochasticBlock(channels, 1.0) for _ in range(4)))

    module = Exchange([32, 64, 128], branch, down=_grouped_down, activation=F.relu6).eval()
    load_twice_used_norm(module, record["keys"])
    outputs = module([wave(shape) for shape in record["inputs"]])
    for value, expected in zip(outputs, record["outputs"], strict=True):
        same_values(value, expected)


def test_shuffle():
    order = read("blocks_lsdnet")["channel_shuffle_g4"]["order"]
    assert shuffle(torch.arange(16.0).reshape(1, 16, 1, 1), 4).flatten().tolist() == order


def test_survival_falls_with_depth_alone():
    model = blank("lsdnet_w32", 16)
    for stage, modules, first in ((3, 4, 0), (4, 3, 16)):
        for name, block in stochastic(model).items():
            place = name.split(".")
            if place[0] == f"stage{stage}":
                row = first + 4 * int(place[1]) + int(place[4])
                assert int(place[1]) < modules
                assert block.survival == pytest.approx(1 - (row + 1) / 28 * 0.5)
    assert survival_probabilities("constant", 0.2) == [0.2] * 28
    assert survival_probabilities("off", 0.2) == [1.0] * 28


def test_blocks_are_left_out_as_often_as_they_should_be():
    """Each frequency within 5 standard errors: a right network fails once in 60,000 seeds."""
    torch.manual_seed(0)
    n, like = 4000, torch.empty(4000, 1, 1, 1)
    for p in survival_probabilities("linear", 0.5):
        kept = StochasticBlock(8, p).draw(like)
        assert kept.shape == (n, 1, 1, 1) and set(kept.unique().tolist()) == {0.0, 1.0}
        assert abs(float(kept.mean()) - p) < 5 * (p * (1 - p) / n) ** 0.5


@torch.no_grad()
def test_first_weights_leave_each_batch_norm_more_than_its_epsilon():
    model, spread = small().train(), {}

    def watch(name):
        def note(norm, inputs):
            spread[name] = inputs[0].var((0, 2, 3)).mean() / norm.eps

        return note

    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(watch(name))
    model(torch.randn(4, 3, 128, 96))
    assert len(spread) > 400 and min(spread.values()) > 100


@torch.no_grad()
def test_each_sample_keeps_or_skips_the_whole_block():
    torch.manual_seed(0)
    block = StochasticBlock(8, 0.5).train()
    x = 1 + torch.rand(64, 8, 4, 4)
    skipped = (block(x) == F.relu6(x)).flatten(1)
    assert torch.equal(skipped.any(1), skipped.all(1))
    assert 16 < int(skipped.all(1).sum()) < 48


@torch.no_grad()
def test_evaluation_is_the_expectation():
    """Where relu6 does not bend, the mean of training passes is the evaluation.

    The mean of n draws has a standard error of |f| sqrt(p (1 - p) / n) in every cell, known
    here exactly; all 512 share each draw, so 5 of them bound the whole.
    """
    torch.manual_seed(0)
    n, p = 4000, 0.7
    block = StochasticBlock(8, p).eval()
    block.bn3.weight.mul_(0.1)
    x = 3 + 0.2 * torch.randn(1, 8, 8, 8)
    expected = block(x)
    f = (expected - x) / p
    block.training = True  # draws, while the statistics stay
    error = block(x.expand(n, -1, -1, -1)).mean(0, keepdim=True) - expected
    assert (error.abs() <= 5 * f.abs() * (p * (1 - p) / n) ** 0.5 + 1e-5).all()


@torch.no_grad()
def test_evaluation_is_near_the_mean_of_many_trainings():
    """Nearer than one training pass, and nearer than a network that keeps all blocks.

    Not equal: relu6 bends, the more the larger the blocks' share. Here it is a twentieth.
    """
    model = small()
    blocks = list(stochastic(model).values())
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # statistics of what follows, not of the start
    for block in blocks:
        block.bn3.weight.fill_(0.05)
    for _ in range(4):
        model(torch.rand(16, 3, 64, 64) - 0.5)
    model.eval()
    image = torch.rand(1, 3, 64, 64) - 0.5
    evaluated = model(image)
    assert torch.equal(model(image), evaluated)
    for block in blocks:
        block.training = True  # draws, while the statistics stay
    passes = model(image.expand(256, -1, -1, -1))
    for block in blocks:
        block.survival = 1.0
    all_kept = model(image)

    def distance(values):
        return float((passes.mean(0) - values).square().mean().sqrt())

    assert distance(evaluated) < 0.5 * distance(passes)
    assert distance(evaluated) < 0.5 * distance(all_kept)


def test_leaving_out_never_freezes():
    model = small(survival="constant", p_last=0.2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    for _ in range(12):
        optimizer.zero_grad()
        model(torch.rand(4, 3, 32, 32)).square().mean().backward()
        for p in model.parameters():
            p.grad.sign_()  # a tiny gradient is a step as well
        optimizer.step()
        assert all(p.requires_grad for p in model.parameters())
    # 48 draws at 0.2 skip one of 96 blocks throughout once in 400 runs, and the seed is fixed.
    for name, p in model.named_parameters():
        if "pconv" in name and name.endswith("weight"):
            assert not torch.equal(p, before[name]), name


@pytest.mark.parametrize("survival", ["linear", "constant", "off"])
def test_training_reaches_every_parameter(survival):
    gradients_flow(small(survival=survival))


def test_the_top_down_path_learns_and_is_stored():
    model = small().eval()
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    image = torch.rand(1, 3, 64, 64)
    before = model(image)
    before.square().mean().backward()
    assert all(p.grad.any() for p in model.Refine.up.parameters())
    with torch.no_grad():
        model.Refine.up[2][1].bias += 1
    assert not torch.allclose(model(image), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"survival": "exponential"},
            "survival='exponential' must be 'linear', 'constant' or 'off'",
        ),
        ({"p_last": 0}, "p_last=0 must be greater than 0"),
        ({"p_last": "half"}, "p_last='half'"),
    ],
)
def test_impossible_survival_is_refused(options, message):
    with pytest.raises(PosekitError, match=message):
        small(**options)
