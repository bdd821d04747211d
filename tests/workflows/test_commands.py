import json
import re
import shlex

import nbformat
import pytest

from posekit import __main__ as command
from posekit.config.families import settings_of
from posekit.config.recipes import measuring_line, published
from posekit.data.sample import ensure_sample
from posekit.files.paths import project_root
from posekit.models import describe
from posekit.workflows import notebooks
from posekit.workflows.evaluation import EvaluationKnobs


def notebook(*cells: tuple[str, list[str]]) -> nbformat.NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        metadata={"kernelspec": kernel},
        cells=[nbformat.v4.new_code_cell(code, metadata={"tags": tags}) for code, tags in cells],
    )


@pytest.fixture
def project(monkeypatch, tmp_path):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(notebooks, "project_root", lambda: tmp_path)
    monkeypatch.setattr(notebooks, "build_index", lambda: tmp_path / "index.html")
    return tmp_path


def write(project, *last_lines: str):
    book = notebook(
        ('dataset: str = "LSP"\nepochs: int = None', ["parameters"]),
        ("import os, pathlib\nrun = pathlib.Path(os.environ['HERE'], 'run')\nrun.mkdir()", []),
        ("pathlib.Path(os.environ['POSEKIT_RUN_LINK']).write_text(str(run))", []),
        ("\n".join(["print('saw', dataset, epochs)", *last_lines]), []),
    )
    nbformat.write(book, project / "notebooks" / "train_lpm.ipynb")


@pytest.mark.parametrize(("last_lines", "status"), [([], 0), (["1 / 0"], 1)])
def test_run_keeps_the_executed_notebook(project, monkeypatch, capsys, last_lines, status):
    monkeypatch.setenv("HERE", str(project))
    write(project, *last_lines)
    out = project / "deep" / "out.ipynb"
    words = ["run", "lpm", "PennAction", "-p", "epochs", "2", "-o", str(out)]
    assert command.main(words) == status
    printed = capsys.readouterr()
    assert "saw PennAction 2" in printed.out
    assert printed.out.splitlines()[-1] == f"report: {project / 'index.html'}"
    assert ("ZeroDivisionError" in printed.err) == bool(status)
    assert "saw PennAction 2" in (project / "run" / "run.ipynb").read_text()
    assert out.read_bytes() == (project / "run" / "run.ipynb").read_bytes()


def test_run_refuses_before_anything_starts(project, capsys):
    write(project)
    assert command.main(["run", "lpm", "PennAction", "-p", "epohcs", "2"]) == 2
    assert "did you mean epochs?" in capsys.readouterr().err
    assert command.main(["run", "lmp", "PennAction"]) == 2
    assert "unknown paper 'lmp': there are cpm" in capsys.readouterr().err
    assert command.main(["run", "cpm", "PennAction"]) == 2
    assert "python -m posekit notebook cpm" in capsys.readouterr().err


def test_clean_keeps_what_nbval_compares(project):
    book = notebook(("1", []), ("2", ["keep_output"]))
    for count, cell in enumerate(book.cells, 1):
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("stream", text="seen")]
        cell.metadata["execution"] = {"iopub.execute_input": "today"}
    book.metadata["papermill"] = {"input_path": "/home/me/nb.ipynb"}
    path = project / "notebooks" / "a.ipynb"
    nbformat.write(book, path)
    assert command.main(["clean"]) == 0
    loose, kept = json.loads(path.read_text())["cells"]
    assert (loose["outputs"], loose["execution_count"]) == ([], None)
    assert kept["outputs"] and kept["execution_count"] == 2
    assert "/home/me" not in path.read_text() and "today" not in path.read_text()
    before = path.stat().st_mtime_ns
    assert command.main(["clean", str(path)]) == 0
    assert path.stat().st_mtime_ns == before


def test_clean_names_a_file_that_is_no_notebook(project, capsys):
    (project / "notebooks" / "a.ipynb").write_text("{")
    assert command.main(["clean"]) == 2
    assert "a.ipynb is not a readable notebook" in capsys.readouterr().err


def test_a_notebook_is_renewed_or_begun(monkeypatch, tmp_path, capsys):
    (tmp_path / "notebooks").mkdir()
    first = project_root() / "notebooks" / "train_simplebaseline.ipynb"
    old = nbformat.read(first, as_version=4)
    old.cells[1].source = 'dataset: str = "LSP"'
    path = tmp_path / "notebooks" / "train_simplebaseline.ipynb"
    nbformat.write(old, path)
    monkeypatch.setattr(notebooks, "project_root", lambda: tmp_path)
    assert command.main(["notebook", "simplebaseline"]) == 0
    assert path.read_text() == first.read_text()
    assert command.main(["notebook", "simplebaseline"]) == 0
    assert capsys.readouterr().out.count("renewed /") == 1

    assert command.main(["notebook", "lpn"]) == 0
    begun = nbformat.read(tmp_path / "notebooks" / "train_lpn.ipynb", as_version=4)
    title, cell, *rest = begun.cells
    assert title.source == f"# {describe('lpn_50').paper}"
    assert cell.source == notebooks.parameters_cell("lpn") and "attention" in cell.source
    assert any('lab.start("lpn", globals())' in c.source for c in rest)
    assert not any(c.get("outputs") or "Simple" in c.source for c in rest)
    nbformat.validate(begun)
    assert command.main(["notebook", "nosuch"]) == 2
    assert "unknown paper 'nosuch'" in capsys.readouterr().err


def test_knobs_are_listed_with_the_values_of_the_recipe(capsys):
    assert command.main(["knobs", "lpm", "LSP"]) == 0
    printed = capsys.readouterr().out
    assert "params/lpm/LSP.yaml" in printed
    lines = printed.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("lr "))
    assert "base learning rate" in lines[at] and "recipe " in lines[at + 1]
    assert all(f"\n{name} " in printed for name in settings_of("lpm").model_fields)
    assert command.main(["knobs", "lpm", "COCO"]) == 2
    assert "no recipe params/lpm/COCO.yaml" in capsys.readouterr().err
    assert command.main(["knobs", "lmp"]) == 2


def test_train_runs_every_step_without_a_notebook(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    assert command.main(["train", "simplebaseline", "COCO", "-p", "workers", "0"]) == 0
    assert "(mean pose " in capsys.readouterr().out
    (folder,) = tmp_path.glob("simplebaseline-COCO-sample-*")
    assert json.loads((folder / "metrics.json").read_text())["status"] == "finished"
    words = ["train", "simplebaseline", "COCO", "-p", "wokers", "0"]
    assert command.main(words) == 2


def test_doctor_says_what_is_missing(tmp_path, capsys):
    (tmp_path / "PennAction" / "labels").mkdir(parents=True)
    ensure_sample("MPII", tmp_path, smoke=True)
    (tmp_path / "mpii" / "annot" / "valid.json").unlink()
    assert command.main(["doctor", "--data-root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "LSP: not there; joints_2000.mat" in printed
    assert "train: ready\n      training of cpm, hourglass, hrnet" in printed
    measured = re.search(r"test: not ready, .*valid.json.*\n(      .*\n)+", printed)[0]
    assert "PCKh@0.5 as simplebaseline, hrnet, lpn quote it" in measured
    assert re.search(r"PennAction\n    train: not ready, ", printed)


def test_every_published_row_has_a_line_that_evaluation_takes():
    rows = published()
    assert len(rows) > 35
    for row in rows:
        words = shlex.split(measuring_line(row))
        if not words:
            assert "MMPose" in row["source"]
            continue
        assert_taken(words)


def assert_taken(words: list[str]) -> None:
    """The words of a line for the evaluate notebook name knobs that it has."""
    given = dict(zip(words[4::3], words[5::3], strict=True))
    settings = settings_of(given["model"], training=False).model_fields
    assert given.keys() <= settings.keys() | EvaluationKnobs.model_fields.keys(), words


@pytest.mark.parametrize(
    "paper", ["hrnet", "simplebaseline", "hourglass", "lpn", "ldcrn", "lsdnet"]
)
def test_the_lines_under_a_score_measure_what_is_quoted(paper):
    book = (project_root() / "notebooks" / f"train_{paper}.ipynb").read_text(encoding="utf-8")
    score = next(c for c in nbformat.reads(book, 4).cells if c.source.startswith("## Score"))
    lines = [x for x in score.source.splitlines() if x.startswith("papermill notebooks/evaluate")]
    for line in lines:
        assert_taken(shlex.split(line))
    quoted = {measuring_line(row): row["metric"] for row in published(paper, "COCO")}
    assert lines
    if quoted:  # one line for each kind of boxes
        kinds = {metric.split(" of ")[0] for metric in quoted.values()}
        assert {quoted[line].split(" of ")[0] for line in lines} == kinds
