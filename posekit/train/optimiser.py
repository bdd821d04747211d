"""Optimisers and learning-rate schedules of the papers."""

import inspect
import math

import torch
from torch import nn, optim

from ..config.families import TrainingSettings


def make_optimiser(model: nn.Module, settings: TrainingSettings) -> optim.Optimizer:
    """The optimiser of the settings, with the papers' factors on biases and on the first stage.

    Each group keeps the rate that a schedule multiplies as `base_lr`.
    Biases, gate biases and normalisation are not decayed (caffe: decay_mult 0).
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        bias = parameter.ndim == 1
        factor = settings.bias_lr_factor if name.endswith(".bias") else 1.0
        if "stage1" in name:
            factor *= settings.first_stage_lr_factor
        decay = 0.0 if bias else settings.weight_decay
        groups.setdefault((settings.lr * factor, decay), []).append(parameter)
    parameter_groups = [
        {"params": parameters, "lr": lr, "base_lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]
    kinds = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW}
    more = {"momentum": settings.momentum} if settings.optimiser == "sgd" else {}
    fused = next(model.parameters()).is_cuda or None  # one launch for all weights
    return _uncompiled(kinds[settings.optimiser])(parameter_groups, fused=fused, **more)


def _uncompiled(kind: type[optim.Optimizer]) -> type[optim.Optimizer]:
    """An optimiser without the wrappers that load PyTorch's compiler, which takes seconds."""
    names = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    plain["step"] = torch.no_grad()(plain["step"])
    return type(kind.__name__, (kind,), plain)


def lr_factor(settings: TrainingSettings, iteration: int, iterations: int) -> float:
    """Learning rate at an iteration, as a factor on the base rate.

    "step" multiplies by lr_gamma every lr_step iterations (caffe's step policy), "milestones" after
    each epoch of lr_milestones; "onecycle" rises over the first quarter and falls to nothing along
    two half cosines.
    """
    if settings.schedule == "step":
        return settings.lr_gamma ** (iteration // settings.lr_step)
    if settings.schedule == "milestones":
        epoch = iteration * settings.epochs // iterations
        epoch += settings.reference_mode  # the references step their schedule before an epoch
        return settings.lr_gamma ** sum(epoch >= milestone for milestone in settings.lr_milestones)
    rise = 0.25 * iterations
    if iteration < rise:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * iteration / rise))
    return 0.5 * (1 + math.cos(math.pi * (iteration - rise) / (iterations - rise)))
