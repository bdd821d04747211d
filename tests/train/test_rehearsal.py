"""A rehearsal of what needs a GPU, without one: fake tensors know their device and have no values.

A tensor that is left on the CPU, or made there, ends the rehearsal with an error.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from posekit.config.machine import Machine
from posekit.config.resolve import resolve
from posekit.data import dataset
from posekit.inference.evaluate import average_heatmaps
from posekit.models import list_models
from posekit.train.trainer import Trainer

PAPERS = ("lpm", "cpm", "simplebaseline", "hrnet", "hourglass", "lpn", "ldcrn", "lsdnet")


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of fake tensors, on which bf16 autocast is allowed."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    with FakeTensorMode():
        yield "cuda:0"


def trainer_on(device, paper, **knobs):
    """A trainer of the small network of a paper, and a batch, on a device; nothing is computed."""
    settings = resolve(paper, {"source": "sample", **knobs}).settings
    skeleton = dataset(settings.scored).skeleton
    with torch.device(device):
        task = settings.task(settings.build(skeleton), skeleton)
        clips, frames = 2, settings.clip_length(task.model.description)
        joints = task.model.description.num_keypoints
        batch = {
            "images": torch.empty(clips, frames, 3, *settings.image_size, dtype=torch.uint8),
            "keypoints": torch.empty(clips, frames, joints, 2),
            "visible": torch.empty(clips, frames, joints, dtype=torch.bool),
            "rows": torch.empty(clips, frames, dtype=torch.long),
        }
    dtype = torch.float32 if device == "meta" else torch.bfloat16
    machine = Machine(torch.device(device), dtype, 0)
    trainer = Trainer(task, None, None, settings, machine)
    trainer.resume(NoCheckpoints())
    return trainer, batch


class NoCheckpoints:
    @staticmethod
    def load_last():
        return None


def loss_of(trainer, batch):
    """The loss of a training step; a backward pass would ask the driver for the device."""
    with trainer.machine.autocast(training=True):
        return trainer.loss(batch)


def tensors_of(trainer):
    """Weights, buffers and the optimiser's memory of each weight, but for its counts of steps."""
    model, states = trainer.task.model, trainer.optimiser.state.values()
    memory = [part for state in states for name, part in state.items() if name != "step"]
    return [*model.parameters(), *model.buffers(), *filter(torch.is_tensor, memory)]


@pytest.mark.parametrize("paper", PAPERS)
def test_a_loss_and_a_prediction_stay_on_the_gpu(paper, gpu):
    trainer, batch = trainer_on(gpu, paper)
    task = trainer.task
    loss = loss_of(trainer, batch)
    task.model.eval()
    with torch.no_grad(), trainer.machine.autocast():
        maps = average_heatmaps(task, batch["images"], flip_test=True)
        found = task.decode(maps, trainer.settings.image_size)
    for tensor in (loss, maps, *found, *tensors_of(trainer)):
        assert tensor.device == torch.device("cuda:0")
    assert maps.dtype == torch.float32
    assert found[0].shape == batch["keypoints"].shape


def test_a_constant_of_the_cpu_is_found(gpu):
    trainer, batch = trainer_on(gpu, "lpn")
    criterion = trainer.task.criterion
    trainer.task.criterion = lambda *maps: criterion(*maps) * torch.ones(2).mean(0, True)
    with pytest.raises(RuntimeError, match="device"):
        loss_of(trainer, batch)


@pytest.mark.parametrize("paper", PAPERS)
def test_a_training_step_needs_shapes_alone(paper):
    trainer, batch = trainer_on("meta", paper, clip_grad=1.0)
    assert trainer.train_step(batch).is_meta
    assert all(tensor.is_meta for tensor in tensors_of(trainer))


def test_all_papers_are_rehearsed():
    stems = {resolve(paper, {"source": "sample"}).settings.network for paper in PAPERS}
    assert stems <= set(list_models()) and len(stems) == len(PAPERS)


def test_everybody_in_the_crop_stays_on_the_gpu(gpu):
    trainer, batch = trainer_on(gpu, "lpm", others_in_first_stage=True)
    people = batch["keypoints"][:, :, None].expand(-1, -1, 3, -1, -1)
    assert loss_of(trainer, batch | {"everybody": people}).is_cuda
