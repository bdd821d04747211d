"""What the steps of a notebook share: one run of one network."""

from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import DataLoader

from ...config.families import TestingSettings, TrainingSettings
from ...config.machine import Machine
from ...config.resolve import Config
from ...data.clips import Clips, loader
from ...data.predictions import Predictions
from ...models import Description
from ...models.families.task import Task
from ...reporting.run_folder import Run
from ...train.hooks import Log


@dataclass
class Experiment:
    """One run of one notebook: what every later step needs from the earlier ones.

    Attributes:
        config: the checked parameters.
        run: the run folder.
        machine: device, precision, loading processes.
        about: what the network takes and returns.
        root: the data root that is read.
        train: training clips, augmented.
        val: clips held out from training, for choosing the best epoch.
        test: the clips that are scored.
        task: the network with its targets, loss and decoding.
        log: the training log.
        network: the network's table as text.
        predictions: of the scored clips.
    """

    config: Config
    run: Run
    machine: Machine
    about: Description
    root: Path | None = None
    train: Clips | None = None
    val: Clips | None = None
    test: Clips | None = None
    task: Task | None = None
    log: Log | None = None
    network: str = ""
    predictions: Predictions | None = None

    @property
    def settings(self) -> TrainingSettings | TestingSettings:
        """The values of the knobs."""
        return self.config.settings

    def batches(
        self, clips: Clips, shuffle: bool = False, share: tuple[int, int] = (0, 1)
    ) -> DataLoader:
        """Batches of clips, loaded as the machine likes it; see `posekit.data.clips.loader`."""
        machine, pin = self.machine, self.machine.device.type == "cuda"
        return loader(clips, self.settings.batch_size, shuffle, machine.workers, pin, share)
