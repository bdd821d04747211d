"""The top-down networks: what becomes of one person's features between crop and heat maps."""

from itertools import pairwise

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from ....models.ldcrn import DenseBlock
from ....models.lpn import GlobalContext
from ....models.lsdnet import StochasticBlock
from ....reporting import figures
from ..experiment import Experiment
from .drawing import Cell, Drawn, crops, highest, outputs_of, sheet, size_of, strength


@torch.inference_mode()
def upsampling(exp: Experiment) -> Drawn:
    """SimpleBaseline: the last features of the ResNet and what each deconvolution makes of them."""
    (images, people), model = crops(exp, 3), exp.task.model
    grown = [layer for layer in model.deconv_layers if isinstance(layer, nn.ReLU)]
    with outputs_of([model.layer4, *grown]) as features:
        maps = exp.task.heatmaps(images)[:, 0]
    rows = [
        [("crop", picture), *(strength(each[person]) for each in features), highest(maps[person])]
        for person, picture in enumerate(people)
    ]
    caption = "Three people: the last features of the ResNet, each deconvolution, all heat maps."
    return sheet(rows), "From coarse to fine", caption


@torch.inference_mode()
def stacks(exp: Experiment) -> Drawn:
    """Hourglass: each stack's way back up, and its heat maps of the same person."""
    (images, (picture,)), model = crops(exp, 1), exp.task.model
    with outputs_of(model.hg) as levels, outputs_of(model.score) as maps:
        exp.task.outputs(images)
    steps = len(levels) // len(maps)  # an hourglass calls itself
    rows = []
    for stack, found in enumerate(maps):
        inside = [strength(each[0]) for each in levels[stack * steps : (stack + 1) * steps]]
        rows.append([("crop", picture), *inside, highest(found[0])])
    caption = "One person, a row a stack: its way from coarse to fine, then all its heat maps."
    names = [f"stack {number + 1}" for number in range(len(rows))]
    return sheet(rows, names), "The stacks", caption


@torch.inference_mode()
def resolutions(exp: Experiment, channels: int = 6) -> Drawn:
    """HRNet: the feature maps of one person in all four resolutions."""
    (images, (picture,)), model = crops(exp, 1), exp.task.model
    with outputs_of([model.stage4[-2]]) as found:  # the last exchange that returns all of them
        exp.task.outputs(images)
    rows, names = [], []
    for features in (each[0] for each in found[0]):
        order = features.var((-2, -1)).argsort(descending=True)[:channels].tolist()
        seen = cv2.resize(picture, features.shape[:0:-1], interpolation=cv2.INTER_AREA)
        chosen = [(f"channel {n}", features[n].float().cpu().numpy()) for n in order]
        rows.append([("the crop so coarse", seen), *chosen])
        names.append(f"{size_of(features)}, {len(features)} channels")
    caption = "One person: the crop at each resolution and the channels that vary most there."
    return sheet(rows, names), "Four resolutions side by side", caption


@torch.inference_mode()
def attention(exp: Experiment) -> Drawn | None:
    """LPN: where the context attention at the end of each layer looks."""
    (images, people), model = crops(exp, 3), exp.task.model
    layers = [getattr(model, f"layer{n}") for n in (1, 2, 3, 4)]
    if not isinstance(layers[0][-1].att, GlobalContext):
        return None
    with outputs_of(layer[-1].att.conv_mask for layer in layers) as masks:
        exp.task.outputs(images)
    looks, rows = [attention_of(mask) for mask in masks], []
    for person, picture in enumerate(people):
        row: list[Cell] = [("crop", picture)]
        for number, look in enumerate(looks, start=1):
            times = (look[person] * look[person].numel()).float().cpu().numpy()
            label = f"layer {number}: at most {times.max():.1f} times even"
            shown = figures.overlay(picture, times - times.min(), max(np.ptp(times), 0.5))
            row.append((label, shown))
        rows.append(row)
    caption = "Attention at the end of each layer; it sums to 1, colours go from least to most."
    return sheet(rows), "Context attention", caption


def attention_of(mask: Tensor) -> Tensor:
    """What a context block makes of its mask (B, 1, H, W): weights (B, H, W) that sum to 1."""
    return mask.flatten(1).softmax(-1).reshape(-1, *mask.shape[-2:])


@torch.inference_mode()
def dense_reuse(exp: Experiment) -> Drawn:
    """LDCRN: how much each dense layer takes from every layer before, and the pyramid's fusion."""
    (images, (picture,)), model = crops(exp, 1), exp.task.model
    fuse = [getattr(model, f"fconv{n}") for n in (4, 3, 2, 1)]
    with outputs_of(fuse) as own:
        maps = exp.task.heatmaps(images)[0, 0]
    fused = [own[0]]
    for each in own[1:]:
        fused.append(F.interpolate(fused[-1], scale_factor=2, mode="bilinear") + each)
    blocks = [block for block in model.layer1 if isinstance(block, DenseBlock)]
    dense = [(f"dense block {n}", reuse(block)) for n, block in enumerate(blocks, start=1)]
    added = [("crop", picture), *(strength(each[0]) for each in own)]
    joined = [highest(maps), *(strength(each[0]) for each in fused)]
    figure = sheet([added, joined, dense], ("adds", "sum so far", "layer"))
    for ax in figure.axes[10 : 10 + len(dense)]:
        ax.set(xticks=range(4), yticks=range(4), yticklabels="1234", aspect="auto")
        ax.set_xticklabels(["input", "1", "2", "3"], fontsize=7)
    caption = "What each resolution adds, the sums so far, and mean weights to all layers before."
    return figure, "Dense connections and pyramid fusion", caption


@torch.inference_mode()
def reuse(block: DenseBlock) -> np.ndarray:
    """Mean size of the weights from each source (columns) to each layer (rows), NaN for none."""
    layers = list(block.children())
    ends = [layer.bn1.num_features for layer in layers]
    table = np.full((len(layers), len(layers)), np.nan)
    for row, layer in enumerate(layers):
        for column, (start, end) in enumerate(pairwise([0, *ends[: row + 1]])):
            parts = [conv.weight[:, start:end].abs().mean() for conv in (layer.conv1, layer.conv3)]
            table[row, column] = float(sum(parts) / 2)
    return table


def survival(exp: Experiment, draws: int = 1000, samples: int = 12) -> Drawn:
    """LSDNet: each block's chance to be kept, and the blocks that one training step leaves out."""
    named = exp.task.model.named_modules()
    blocks = [m for name, m in named if isinstance(m, StochasticBlock) and ".branches.0." in name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(exp.settings.seed)
        kept = torch.stack([block.draw(torch.empty(draws, 1, 1, 1)) for block in blocks])
    kept = kept.flatten(1).numpy()
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    numbers = np.arange(1, len(blocks) + 1)
    above.bar(numbers, kept.mean(1), alpha=0.5, label=f"share kept in {draws:,} draws")
    chances = [block.survival for block in blocks]
    above.plot(numbers, chances, ".-", color="#d55e00", label="chance to be kept")
    above.set(ylim=(0, 1.05), ylabel="chance")
    above.legend(loc="upper right")
    below.pcolormesh(numbers, np.arange(1, samples + 1), kept[:, :samples].T, cmap="Blues")
    below.set(xlabel="block of the finest branch, along the depth", ylabel="sample", yticks=())
    caption = "Chances and draws; below, the blocks (white) that samples of one step go round."
    return figure, "Stochastic depth", caption
