"""What a sweep's file asks for: one run for each paper, data set, choice of knobs and seed."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config.resolve import Config, resolve
from ...config.settings import Settings, knob
from ...errors import PosekitError
from ...files.yaml_files import load_yaml
from ...reporting.record import FoundRun
from ...reporting.run_folder import runs_of


class SweepFile(Settings):
    """What `sweeps/<name>.yaml` holds."""

    papers: tuple[str, ...] = knob("stems of papers: lpm, cpm, ...", min_length=1)
    datasets: tuple[str, ...] = knob("LSP, MPII, PennAction, COCO", min_length=1)
    seeds: tuple[int, ...] = knob("of everything random", (0,), min_length=1)
    knobs: dict[str, list[Any]] = knob("knob -> the values that it takes in turn", {})
    parameters: dict[str, Any] = knob("knob -> the value that it has in all runs", {})


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        paper: stem of the paper.
        varied: the knobs that differ within the sweep.
        parameters: of the notebook, these and the seed among them.
        config: the same, checked.
    """

    paper: str
    varied: Mapping[str, Any]
    parameters: Mapping[str, Any]
    config: Config

    @property
    def setting(self) -> str:
        """What all seeds have in common, as text."""
        return " ".join(f"{name}={value}" for name, value in self.varied.items()) or "as the recipe"

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.config.settings.seed

    @property
    def name(self) -> str:
        """The job in progress lines."""
        data = self.config.settings.dataset
        return f"{self.paper} {data}, {self.setting}, seed {self.seed}"

    def run(self, runs: Sequence[FoundRun]) -> FoundRun | None:
        """Its own among these runs, the finished one if there is one; None before it began."""
        own = runs_of(self.config, runs)
        return next((run for run in own if run[1].status == "finished"), next(iter(own), None))


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a sweep's file, by paper, data set, knobs and seed.

    Raises:
        PosekitError: naming the file and what is wrong in it, or the first job that cannot run.
    """
    values = load_yaml(path)
    told = SweepFile.made(values, f"{path} cannot be run:")
    names = list(told.knobs)
    jobs = []
    for paper, dataset, *chosen, seed in itertools.product(
        told.papers, told.datasets, *told.knobs.values(), told.seeds
    ):
        varied = dict(zip(names, chosen, strict=True))
        parameters = {"dataset": dataset, **told.parameters, **varied, "seed": seed}
        try:
            jobs.append(Job(paper, varied, parameters, resolve(paper, dict(parameters))))
        except PosekitError as error:
            raise PosekitError(f"{path}: {paper} {dataset} {varied}: {error}") from error
    return jobs
