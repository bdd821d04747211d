"""Weights and inputs of the golden numbers, from an integer formula exact on every platform."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from posekit.models import create_model

GOLDEN = Path(__file__).parents[1] / "golden" / "pose_machines"
PRIME = 2147483647
# Blocks of channels in LPM's fused gates.
GATES = "iogf"


def _hash(k: int, n: int) -> torch.Tensor:
    """r(k, i) for i < n: n numbers in -1..1, in float64."""
    i = torch.arange(n, dtype=torch.int64)
    i = (i * 1234577 + 1013904223).mul_(i).add_(715225739 * k + 12345).remainder_(PRIME)
    return i.double().mul_(2 / PRIME).sub_(1)


def _values(k: int, shape: list[int], kind: str, filler: float = 0.0) -> torch.Tensor:
    r = _hash(k, torch.Size(shape).numel()).reshape(shape)
    if kind == "conv_w":
        return (6 / r[0].numel()) ** 0.5 * r
    if kind == "scale_b":
        return filler + 0.05 * r
    return {
        "conv_b": 0.01 * r,
        "bn_w": 1 + 0.1 * r,
        "bn_b": 0.01 * r,
        "running_mean": 0.01 * r,
        "running_var": 1 + 0.1 * r**2,
        "scale_w": torch.ones(shape),
        "num_batches_tracked": torch.zeros(shape),
    }[kind]


def _our_name(layer: str, blob: int) -> tuple[str, int | None] | None:
    """Where a caffe blob lives in `cpm` and `lpm`: parameter name and gate, None if nowhere."""
    kind = ("weight", "bias")[blob]
    name, stage = layer.split("_stage")
    if name in GATES:
        return ("gate_bias", GATES.index(name)) if blob else None
    if name[0] in GATES and name[1:] in ("_x", "_h"):
        return f"gates_{name[2]}.{kind}", GATES.index(name[0])
    number = int(name[-1])
    if name.startswith("M"):
        return f"stage{stage}.head.conv{number}.{kind}", None
    if stage == "1":
        return f"stage1.conv{number}.{kind}", None
    if stage == "2" and number < 4:
        return f"trunk.conv{number}.{kind}", None
    return f"stage{stage}.features.{kind}", None


@pytest.fixture(scope="session")
def blank():
    """Builds a network without drawing weights, for those that fill them in."""

    def build(name: str) -> nn.Module:
        with torch.device("meta"):
            model = create_model(name)
        return model.to_empty(device="cpu")

    return build


@pytest.fixture(scope="session")
def golden():
    """Reads a golden file by its stem."""
    return lambda stem: json.loads((GOLDEN / f"{stem}.json").read_text())


@pytest.fixture(scope="session")
def hashed():
    """r(k, i) of the fill formula."""
    return _hash


@pytest.fixture(scope="session")
def golden_values():
    """Values of the fill formula for one parameter: k, shape, kind, filler."""
    return _values


@pytest.fixture(scope="session")
def fill_caffe():
    """Fills `cpm` or `lpm` from the parameter list of an original caffe network."""

    def fill(model: nn.Module, params: list[dict]) -> nn.Module:
        state = model.state_dict()
        is_lpm = "gate_bias" in state
        filled = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in state.items()}
        for p in params:
            target = _our_name(p["layer"], p["blob"])
            if target is None:
                continue
            name, gate = target
            if is_lpm and name.startswith(("trunk", "stage2")):
                name = name.replace("trunk", "features").replace("stage2.head", "head")
                name = name.replace("stage2.features", "features.conv4")
            part = slice(None)
            if gate is not None:
                size = p["shape"][0]
                part = slice(gate * size, (gate + 1) * size)
            state[name][part] = _values(p["k"], p["shape"], p["kind"], p["filler"])
            assert not filled[name][part].any(), f"{name} filled twice"
            filled[name][part] = True
        assert all(bool(done.all()) for done in filled.values())
        return model.eval()

    return fill


@pytest.fixture(scope="session")
def fill_reference():
    """Fills a `*_mobilepose` network in the order of its own state dict."""

    def fill(model: nn.Module) -> nn.Module:
        for k, (name, value) in enumerate(model.state_dict().items()):
            part = name.rsplit(".", 1)[1]
            prefix = "conv" if "x_stage" in name or "h_stage" in name or "onv" in name else "bn"
            prefix = "conv" if "res" in name or "final" in name else prefix
            kind = {"weight": f"{prefix}_w", "bias": f"{prefix}_b"}.get(part, part)
            value.copy_(_values(k, list(value.shape), kind))
        return model.eval()

    return fill


@pytest.fixture(scope="session")
def clip():
    """Makes the golden inputs: frames (B, 5, 3, h, w) and centre map (B, 1, h, w)."""

    def make(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (batch, 5, 3, height, width)
        frames = torch.arange(torch.Size(shape).numel()).double().mul(0.003).sin().reshape(shape)
        b = torch.arange(batch).double()[:, None, None]
        x = torch.arange(width) - (0.45 + 0.03 * b) * width
        y = torch.arange(height)[:, None] - (0.55 - 0.03 * b) * height
        centre = torch.exp(-(x**2 + y**2) / (2 * 21**2))[:, None]
        return frames.float(), centre.float()

    return make


@pytest.fixture(scope="session")
def same_maps():
    """Compares maps with the 64 samples and the moments that a golden file holds."""

    def check(maps: torch.Tensor, record: dict, tolerance: float = 1e-4) -> None:
        assert list(maps.shape) == record["shape"]
        got = maps.double().flatten()
        expected = torch.tensor(record["value"], dtype=torch.float64)
        torch.testing.assert_close(got[record["index"]], expected, rtol=0, atol=tolerance)
        for name, value in {"mean": got.mean(), "min": got.min(), "max": got.max()}.items():
            assert abs(float(value) - record[name]) <= tolerance, name

    return check
