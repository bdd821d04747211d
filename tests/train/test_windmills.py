"""Every configuration of 'Tilting at windmills' starts and takes a training step."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from posekit.config.recipes import read_recipe
from posekit.data.clips import loader
from posekit.data.occlusion.occluder import KINDS, Occluder
from posekit.files.paths import project_root
from posekit.workflows import training as lab

FILES = sorted(
    path
    for path in Path(project_root(), "params").glob("*/*-*.yaml")
    if "windmills" in path.read_text(encoding="utf-8").partition("\n")[0]
)


def test_every_kind_has_a_recipe():
    kinds = {read_recipe(path.parent.name, path.name)["occlusion"] for path in FILES}
    assert len(FILES) == 19 and kinds == set(KINDS)


@pytest.fixture(scope="module")
def tasks():
    """Networks that are built once: the configurations of one differ in what they look at."""
    return {}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_configuration_takes_a_step(path, tasks):
    dataset, _, recipe = path.stem.partition("-")
    parameters = {"dataset": dataset, "recipe": recipe, "source": "sample", "resume": "never"}
    exp = lab.start(path.parent.name, parameters)
    lab.load(exp)
    if (exp.settings.network, dataset) not in tasks:
        lab.build(exp)
        tasks[exp.settings.network, dataset] = exp.task
    task = tasks[exp.settings.network, dataset]
    batches = loader(exp.train, exp.settings.batch_size, False, 0, False)
    batch = exp.machine.put(next(iter(batches)))
    bare = copy.copy(exp.train)
    bare.transforms = [t for t in exp.train.transforms if not isinstance(t, Occluder)]
    plain = [bare[0, n] for n in range(len(batch["rows"]))]
    same = np.array_equal(batch["images"], np.stack([s["images"] for s in plain]))
    assert same == (exp.settings.occlusion == "none")
    task.model.train()
    loss = task.loss(task.outputs(batch["images"]), batch)
    loss.backward()
    grads = [p.grad for p in task.model.parameters() if p.grad is not None]
    assert torch.isfinite(loss) and any(g.abs().sum() > 0 for g in grads)
    exp.run.end("failed")
