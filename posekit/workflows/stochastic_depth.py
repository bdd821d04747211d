"""What leaving blocks out does to LSDNet: a section of its notebook."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..data.predictions import Predictions
from ..data.scores import validation_score
from ..inference.evaluate import predict
from ..models.lsdnet import StochasticBlock
from .training.experiment import Experiment


def dropping(exp: Experiment, draws: int = 2) -> pd.DataFrame:
    """The trained network on the validation part, with three ways to test stochastic depth.

    Args:
        exp: after `train`.
        draws: how often to draw blocks at test time.

    Returns:
        For each way the score, and how far the joints lie from those of the expected network.
    """
    model, seed = exp.task.model, exp.settings.seed
    expected = _found(exp, model)
    ways = {"every block by its chance (as scored above)": expected}
    ways["every block whole"] = _found(exp, everything_kept(model))
    for number in range(1, draws + 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed + number)
            found = _found(exp, drawn_at_test(model))
        ways[f"blocks drawn, as released, draw {number}"] = found
    clips = exp.val
    base = clips.to_crop(expected.keypoints)
    rows = []
    for way, found in ways.items():
        moved = np.linalg.norm(clips.to_crop(found.keypoints) - base, axis=-1)
        score = validation_score(clips, found.keypoints)
        rows.append({"when testing": way, "val score": score, "moved, crop px": moved.mean()})
    table = pd.DataFrame(rows).round(2)
    return exp.run.keep("Blocks left out, validation part", table)


def _found(exp: Experiment, model: nn.Module) -> Predictions:
    task = exp.settings.task(model, exp.train.skeleton)
    return predict(task, exp.batches(exp.val), exp.machine, exp.settings.flip_test)


def everything_kept(model: nn.Module) -> nn.Module:
    """A copy whose stochastic blocks add all that they compute."""
    whole = copy.deepcopy(model)
    for block in _blocks(whole):
        block.survival = 1.0
    return whole


def drawn_at_test(model: nn.Module) -> nn.Module:
    """A copy whose stochastic blocks draw in evaluation too; their normalisation does not."""

    def draw(block: StochasticBlock, _: Any) -> None:
        block.training = True  # the block's own flag, not its children's

    drawn = copy.deepcopy(model)
    for block in _blocks(drawn):
        block.register_forward_pre_hook(draw)
    return drawn


def _blocks(model: nn.Module) -> list[StochasticBlock]:
    return [module for module in model.modules() if isinstance(module, StochasticBlock)]
