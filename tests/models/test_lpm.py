"""LPM against the original caffe network, and as a stream."""

import pytest
import torch
from torch.nn import functional as F

from posekit.errors import PosekitError
from posekit.models import cost, create_model
from posekit.models.lpm import GATE_BIAS, State, lstm_step


@torch.no_grad()
def test_original_network(golden, blank, fill_caffe, clip, same_maps):
    record = golden("caffe_lpm")
    model = fill_caffe(blank("lpm"), record["params"])
    small = [case for case in record["cases"] if case["H"] < 256]
    assert len(small) == 2
    for case in small:
        same_maps(model(*clip(case["B"], case["H"], case["W"])), case["stages"])


@pytest.mark.parametrize("first", [True, False])
def test_one_step_of_the_memory(golden, hashed, first):
    record = golden("lstm_step")
    names, channels = record["names_in_k_order"], record["hidden"]

    def conv_weights(part):
        shape = (channels, channels, 3, 3)
        weight = [hashed(names.index(f"{g}_{part}.weight"), 144).reshape(shape) for g in "iogf"]
        bias = [hashed(names.index(f"{g}_{part}.bias"), channels) for g in "iogf"]
        return (6 / 36) ** 0.5 * torch.cat(weight), 0.01 * torch.cat(bias)

    i = torch.arange(48, dtype=torch.float64).reshape(record["input_shape"])
    x, hidden, cell = (0.31 * i).sin(), 0.7 * (0.23 * i).cos(), 0.9 * (0.41 * i + 1).sin()
    bias = [
        start + 0.05 * hashed(names.index(f"scale_bias_{gate}"), channels)
        for gate, start in zip("iogf", GATE_BIAS, strict=True)
    ]
    gates = F.conv2d(x, *conv_weights("x"), padding=1)
    gates = gates + torch.cat(bias)[:, None, None]
    if not first:
        gates = gates + F.conv2d(hidden, *conv_weights("h"), padding=1)
    expected = record["paper_first_frame" if first else "paper"]
    for name, got in zip("hc", lstm_step(gates, None if first else cell), strict=True):
        want = torch.tensor(expected[name], dtype=torch.float64)
        torch.testing.assert_close(got.flatten(), want, rtol=0, atol=1e-8)


def test_cost(blank):
    model = blank("lpm")
    # The paper's first frame has no forget gate; ours computes it there too and does not use it:
    # 48 inputs, 48 outputs, 3x3, per cell.
    for size, gmacs in {256: 202.51, 368: 418.47}.items():
        frames = torch.empty(1, 5, 3, size, size, device="meta")
        counted = cost(model, frames, frames[:, 0, :1])
        assert counted.params == 12_067_870
        spare = 48 * 48 * 9 * (size // 8) ** 2 / 1e9
        assert counted.gmacs - spare == pytest.approx(gmacs, abs=0.005)


@torch.no_grad()
@pytest.mark.parametrize("time", [1, 2, 7])
def test_a_stream_is_its_clip(time):
    torch.manual_seed(0)
    model = create_model("lpm", width=0.1).double().eval()
    frames = torch.rand(2, time, 3, 32, 40, dtype=torch.float64) - 0.5
    centre = torch.rand(2, 1, 32, 40, dtype=torch.float64)
    clip = model(frames, centre)
    assert clip.shape == (2, time + 1, 15, 4, 5)
    torch.testing.assert_close(clip[:, 0], model.stage1(frames[:, 0]), rtol=0, atol=1e-12)
    state = None
    for t, frame in enumerate(frames.unbind(1), start=1):
        belief, state = model.step(frame, centre, state)
        torch.testing.assert_close(belief, clip[:, t], rtol=0, atol=1e-12)


@torch.no_grad()
def test_frames_see_the_past_only():
    torch.manual_seed(0)
    model = create_model("lpm", width=0.1).eval()
    frames, centre = torch.rand(1, 4, 3, 32, 32), torch.rand(1, 1, 32, 32)
    before = model(frames, centre)
    frames[:, 2] += 0.5
    changed = (model(frames, centre) - before).abs().amax((0, 2, 3, 4)) > 0
    assert changed.tolist() == [False, False, False, True, True]


def test_gate_biases_start_as_published():
    model = create_model("lpm")
    assert model.gate_bias.reshape(4, 48)[:, 0].tolist() == pytest.approx([1.4, 0.2, 0.0, 1.0])
    assert not model.gates_x.bias.any() and not model.gates_h.bias.any()


def test_a_loss_on_the_last_frame_reaches_every_parameter():
    torch.manual_seed(0)
    model = create_model("lpm", width=0.1)
    frames, centre = torch.rand(1, 3, 3, 32, 32) - 0.5, torch.rand(1, 1, 32, 32)
    model(frames, centre)[:, -1].sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@torch.no_grad()
def test_a_state_may_be_a_plain_tuple():
    torch.manual_seed(0)
    model = create_model("lpm", width=0.1).eval()
    frame, centre = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    _, state = model.step(frame, centre)
    named, plain = model.step(frame, centre, state), model.step(frame, centre, tuple(state))
    assert torch.equal(named[0], plain[0])
    assert all(torch.equal(a, b) for a, b in zip(named[1], plain[1], strict=True))


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        lambda state: State(*(part[:1] for part in state)),  # another batch, would broadcast
        lambda state: State(*(part[..., :1] for part in state)),  # another size
        lambda state: state._replace(belief=state.belief[:1]),
        lambda state: state._replace(hidden=state.hidden[:, :1]),
        lambda state: state._replace(cell=state.cell[..., :1, :]),
        lambda state: state[:2],
    ],
)
def test_a_state_of_other_frames_is_refused(change):
    model = create_model("lpm", width=0.1).eval()
    frame, centre = torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    _, state = model.step(frame, centre)
    with pytest.raises(PosekitError, match="start again with state=None"):
        model.step(frame, centre, change(state))
