"""A data set to look at: parameters of the notebook, people and their crops by a recipe."""

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from ... import data
from ...config.families import TrainingSettings
from ...config.knobs import Count, Dataset
from ...config.recipes import papers, recipe_datasets
from ...config.resolve import Config, resolve
from ...config.settings import Settings, early, knob
from ...data.annotations import Annotations
from ...data.clips import Clips
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...files.words import near
from ...geometry.skeletons import SKELETONS
from ...models import cost, describe
from ...reporting.run_folder import Run
from ..training.opening import close_run, open_run
from ..training.panels import wanted

_TITLE = "the explore notebook cannot run with this:"
_PAPERS = ("hrnet", "lpm")  # whose recipe is taken where none is named


class ExploreKnobs(Settings):
    """What is looked at; every knob of the recipe is a parameter besides."""

    dataset: Dataset = knob("LSP, MPII, PennAction or COCO", "COCO")
    split: Literal["train", "test"] = knob("of the data set", "train")
    paper: str | None = knob("whose recipe crops, augments and teaches; None for a usual one", None)
    people: Count = knob("in a row of pictures", 6)


@dataclass
class Exploration:
    """What every later step needs.

    Attributes:
        config: the checked parameters of the recipe.
        asked: those of the notebook.
        run: the run folder.
        root: the data root.
        people: N people of the split.
        clips: their crops as tested, one frame each, in the network's joints.
    """

    config: Config
    asked: ExploreKnobs
    run: Run
    root: Path
    people: Annotations
    clips: Clips

    @property
    def settings(self) -> TrainingSettings:
        """The values of the recipe's knobs."""
        return self.config.settings

    @cached_property
    def network(self) -> tuple[nn.Module, tuple[int, int]]:
        """The recipe's network without weights, and the cells (H, W) of its maps."""
        model = self.settings.shapes_only(self.clips.skeleton)
        return model, cost(model, *self.settings.one_clip(model.description)).output[-2:]

    @property
    def is_live(self) -> bool:
        """Whether widgets are shown."""
        return wanted(self.settings.interactive)

    @property
    def is_video(self) -> bool:
        """Whether people are seen in sequences of frames."""
        return data.dataset(self.people.dataset).video

    def text(self) -> str:
        """Who is there."""
        people = self.people
        counts = (np.unique(column).size for column in (people.image, people.sequence))
        images, sequences = counts
        line = f"{len(people):,} people in {images:,} images of {self.run.label}, {people.split}"
        lines = [line + f", {sequences:,} sequences" * self.is_video]
        return "\n".join([*lines, *(f"note: {note}" for note in people.notes)])


def start(namespace: MutableMapping[str, Any]) -> Exploration:
    """Check the parameters, read the people and open a run folder.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming what is wrong with the parameters, or what to download.
    """
    asked = early(ExploreKnobs, namespace, _TITLE)
    own = ExploreKnobs.model_fields.keys() - {"dataset"}
    rest = {name: value for name, value in namespace.items() if name not in own}
    config = resolve(_paper(asked), rest | {"dataset": asked.dataset})
    namespace.update((n, v) for n, v in rest.items() if n not in namespace)  # the mark of a check
    settings, spec = config.settings, data.dataset(config.settings.scored)
    root = config.data_root or ensure_sample(spec.name, smoke=config.smoke)
    may_lack = settings.source == "real" or bool(settings.data_root)
    people = data.load(spec.name, asked.split, root, source=config.source, allow_partial=may_lack)
    joints = SKELETONS.get(describe(settings.network).skeleton or "", spec.skeleton)
    clips = Clips(people, joints, 1, settings.framing(spec.crop_drop), seed=settings.seed)
    run = open_run(replace(config, paper="explore", network=f"Explore ({asked.split})"))
    run.update(
        split=asked.split,
        notes=list(people.notes),
        n_samples=len(people),
        paper_title="A data set, looked at",
        protocol=f"crops, augmentation and targets as in {config.paper}",
    )
    return Exploration(config, asked, run, root, people, clips)


def _paper(asked: ExploreKnobs) -> str:
    """The paper whose recipe is taken."""
    if asked.paper is None:
        return next((p for p in _PAPERS if asked.dataset in recipe_datasets(p)), _PAPERS[0])
    if asked.paper not in papers():
        hint = near(asked.paper, papers()) or f": choose {', '.join(papers())}"
        raise PosekitError(f"{_TITLE} paper={asked.paper!r}{hint}")
    return asked.paper


def finish(exp: Exploration) -> str:
    """Write the report, mark the run finished and rebuild the index; where they are, as text."""
    return close_run(exp.run, exp.text())
