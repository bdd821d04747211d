"""Golden numbers of the top-down networks: weights and inputs by formula, outputs by sample.

All tensors are numbered k = 0, 1, ... in the order of the reference's state dict, and filled
from s(k, i) = sin(10000 sin(0.37 k + 0.011 i)), which no network loses on its way.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from posekit.models import cost, create_model

GOLDEN = Path(__file__).parents[1] / "golden" / "topdown"
TOLERANCE = 2e-5  # of the largest value; float32 alone costs 1e-6, a small mistake 1e-1
SLOW = pytest.mark.skipif("POSEKIT_SLOW" not in os.environ, reason="POSEKIT_SLOW=1 runs all sizes")


def sizes(fast: list, slow: list) -> list:
    """Cases to run: one of each kind always, the others on demand."""
    slow = [case if isinstance(case, tuple) else (case,) for case in slow]
    return [*fast, *(pytest.param(*case, marks=SLOW) for case in slow)]


def read(stem: str) -> dict:
    return json.loads((GOLDEN / f"{stem}.json").read_text())


def filled(keys: list[list]) -> dict[str, Tensor]:
    """State dict with the formula's values; `keys` are pairs of name and shape."""
    state = {}
    for k, (name, shape) in enumerate(keys):
        n = int(np.prod(shape))
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
            continue
        s = np.sin(1e4 * np.sin(0.37 * k + 0.011 * np.arange(n)))
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "running_mean" or leaf == "bias":
            value = 0.01 * s
        elif leaf == "running_var":
            value = 1 + 0.1 * s * s
        elif len(shape) in (2, 4):
            value = 1.5 * s / np.sqrt(np.prod(shape[1:]))
        else:
            value = 1 + 0.1 * s  # batch norm, layer norm
        state[name] = torch.from_numpy(value.reshape(shape).astype(np.float32))
    return state


def wave(shape: list[int]) -> Tensor:
    """The golden input, sin(0.003 i)."""
    n = int(np.prod(shape))
    return torch.from_numpy(np.sin(0.003 * np.arange(n)).reshape(shape).astype(np.float32))


def blank(name: str, num_keypoints: int, **options: object) -> nn.Module:
    """The network without memory behind its weights."""
    with torch.device("meta"):
        return create_model(name, num_keypoints, **options)


def same_layout(model: nn.Module, record: dict) -> None:
    """Names, order, shapes and size are the reference's."""
    layout = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    assert layout == record["keys"]
    assert sum(p.numel() for p in model.parameters()) == record["n_params"]


def same_values(got: Tensor, record: dict) -> None:
    """The 64 sampled values and the moments of the golden output."""
    assert list(got.shape) == record["shape"]
    flat = got.detach().double().flatten()
    expected = torch.tensor(record.get("values_f64", record["values"]), dtype=torch.float64)
    allowed = TOLERANCE * record["absmax"]
    torch.testing.assert_close(flat[record["idx"]], expected, rtol=0, atol=allowed)
    assert abs(float(flat.mean()) - record["mean"]) <= allowed
    assert abs(float(flat.std(correction=0)) - record["std"]) <= allowed


@torch.no_grad()
def same_outputs(model: nn.Module, record: dict) -> None:
    """A checkpoint in the published layout, loaded strictly, gives the golden heat maps."""
    model = model.to_empty(device="cpu").eval()
    model.load_state_dict(filled(record["keys"]), strict=True)
    _, _, rows, columns = record["output"]["shape"]
    same_values(model(wave([1, 3, 4 * rows, 4 * columns])), record["output"])


def same_cost(model: nn.Module, size: tuple[int, int], params: int, gmacs: float) -> None:
    """Parameters exactly, multiply-adds within 0.1 %."""
    counted = cost(model, torch.empty(1, 3, *size, device="meta"))
    assert counted.params == params
    assert abs(counted.gmacs / gmacs - 1) < 1e-3, counted.gmacs
    assert counted.output[-2:] == (size[0] // 4, size[1] // 4)


def gradients_flow(model: nn.Module, size: int = 64) -> None:
    """A training pass reaches every parameter with a finite gradient."""
    torch.manual_seed(0)
    heatmaps = model.train()(torch.rand(2, 3, size, size) - 0.5)
    maps = heatmaps if isinstance(heatmaps, list) else [heatmaps]
    sum(m.square().mean() for m in maps).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
