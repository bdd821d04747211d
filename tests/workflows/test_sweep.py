"""A sweep: its file, its board, and its jobs on a Dask cluster."""

from types import SimpleNamespace

import pytest

from posekit import __main__ as command
from posekit.errors import PosekitError
from posekit.reporting.record import RunRecord, all_runs
from posekit.reporting.run_folder import Run
from posekit.workflows.sweep import running
from posekit.workflows.sweep.jobs import read_jobs, summary

FILE = """
papers: [lpm]
datasets: [PennAction]
seeds: [0, 1, 2]
knobs:
  width: [0.0625, 0.125]
parameters: {source: sample, epochs: 1}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    path = tmp_path / "small.yaml"
    path.write_text(FILE)
    return path


def finish(job, score):
    run = Run.open(job.config)
    run.update(metrics={"Mean": score}, metric="PCK@0.2 box", protocol="by hand")
    run.end("finished")


def test_every_combination_is_a_job(file):
    jobs = read_jobs(file)
    assert [(job.config.settings.width, job.seed) for job in jobs] == [
        (0.0625, 0), (0.0625, 1), (0.0625, 2), (0.125, 0), (0.125, 1), (0.125, 2)
    ]  # fmt: skip
    assert {job.config.settings.epochs for job in jobs} == {1}
    assert jobs[3].name == "lpm PennAction, width=0.125, seed 0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("papers: [lpm]", "datasets: has no value"),
        ("papers: []\ndatasets: [LSP]", "papers="),
        ("- lpm", "it holds no `name: value` lines"),
        ("papers: [lpm", "is not readable YAML"),
        (FILE + "seed: [1]", "did you mean seeds?"),
        (FILE.replace("epochs", "epohcs"), "did you mean epochs?"),
        (FILE.replace("[lpm]", "[lmp]"), "unknown paper 'lmp'"),
        (FILE.replace("0.125]", "wide]"), "width='wide'"),
    ],
)
def test_a_faulty_file_is_refused_before_any_run(file, capsys, text, said):
    file.write_text(text)
    assert command.main(["sweep", str(file)]) == 2
    message = capsys.readouterr().err
    assert said in message and "small.yaml" in message
    assert not all_runs()


def test_scores_are_compared_seed_by_seed(file):
    jobs = read_jobs(file)
    scores = {0: (10.0, 12.0), 1: (20.0, 23.0), 2: (30.0, 34.0)}
    records = [
        RunRecord(
            dataset="PennAction", source="sample", status="finished", metric="PCK@0.2 box",
            metrics={"Mean": scores[job.seed][job.config.settings.width > 0.1]},
        )
        for job in jobs
    ]  # fmt: skip
    table = summary(jobs, records)
    assert table["mean"].tolist() == [20.0, 23.0]
    assert table["deviation"].tolist() == pytest.approx([10.0, 11.0])
    row = table.iloc[1]
    # Differences 2, 3, 4: mean 3, deviation 1; Student's t for 2 degrees of freedom is 4.302653.
    assert row["difference"] == pytest.approx(3)
    assert row["to"] - 3 == pytest.approx(4.302653 / 3**0.5, abs=1e-6) == 3 - row["from"]
    assert table.iloc[0][["difference", "from", "to"]].isna().all()

    records[4].metric = "PCK@0.1 box"  # another protocol is never compared
    table = summary(jobs, records)
    assert table["metric"].tolist() == ["PCK@0.2 box", "PCK@0.2 box", "PCK@0.1 box"]
    assert table.iloc[1]["difference"] == pytest.approx(3) and table.iloc[1]["seeds"] == 2
    records[3].status = "failed"
    assert summary(jobs, records).iloc[1]["seeds"] == 1


def test_finished_jobs_are_left_out_and_a_failure_stops_no_other(file, monkeypatch, capsys):
    jobs = read_jobs(file)
    for job in jobs[:3]:
        finish(job, 50.0)
    given = []

    class Future(SimpleNamespace):
        def exception(self):
            return self.error

        def __hash__(self):
            return id(self)

    class Client:
        def nthreads(self):
            return {"worker": 1}

        def submit(self, run, paper, dataset, parameters, log, pure):
            given.append((paper, dataset, parameters["seed"]))
            job = next(j for j in jobs if j.parameters == parameters)
            if parameters["seed"] == 1:
                return Future(error=RuntimeError("killed"))
            finish(job, 60.0 + parameters["seed"])
            return Future(error=None)

    def cluster(scheduler, cores, most):
        return running.contextlib.nullcontext(Client())

    monkeypatch.setattr(running, "_cluster", cluster)
    monkeypatch.setattr("dask.distributed.as_completed", list)
    assert command.main(["sweep", str(file)]) == 1
    assert given == [("lpm", "PennAction", seed) for seed in (0, 1, 2)]
    printed = capsys.readouterr().out
    assert "6 jobs, 3 of them finished" in printed
    assert "[2/3] lpm PennAction, width=0.125, seed 1: no score, failed (killed" in printed
    assert "[3/3] lpm PennAction, width=0.125, seed 2: PCK@0.2 box 62, finished" in printed
    page = (file.parent / "reports" / "sweep-small" / "report.html").read_text()
    assert "5 of 6 runs are finished" in page and "not begun" in page and "sample" in page

    given.clear()
    command.main(["sweep", str(file)])
    assert given == [("lpm", "PennAction", 1)]


def test_a_missing_scheduler_is_said(file):
    pytest.importorskip("distributed")
    with pytest.raises(PosekitError, match="no Dask scheduler answers at tcp://127.0.0.1:1"):
        with running._cluster("tcp://127.0.0.1:1", 1, 1):
            pass


def test_a_job_runs_in_a_worker(file, tmp_path, monkeypatch):
    """The cluster of this machine with a stand-in for the notebook, which takes long."""
    pytest.importorskip("distributed")
    module = tmp_path / "stand_in.py"
    module.write_text(
        "from posekit.workflows import notebooks\n"
        "def job(paper, log):\n"
        "    import os, pathlib\n"
        "    pathlib.Path(log).write_text(f\"{paper} {os.environ['OMP_NUM_THREADS']}\")\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    import stand_in

    with running._cluster(None, 3, 1) as client:
        client.submit(stand_in.job, "lpm", str(tmp_path / "log")).result(timeout=60)
    assert (tmp_path / "log").read_text() == "lpm 3"
