"""Runs for the tests of this folder."""

from posekit.config.resolve import Config, resolve
from posekit.reporting.run_folder import Run


def config(**given) -> Config:
    return resolve("lpm", {"source": "sample", **given})


def scored(run: Run, mean=81.5) -> Run:
    run.update(
        metrics={"Mean": mean}, baseline={"mean_pose": 35.0}, metric="PCK@0.2 box",
        protocol="PCK <by hand>", paper_title="LPM", n_samples=4,
    )  # fmt: skip
    (run.folder / "log.jsonl").write_text('{"epoch": 1}\n')
    return run
