import json

import nbformat
import pytest

from posekit import __main__ as command
from posekit.workflows import notebooks


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
    assert "there are lpm" in capsys.readouterr().err


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


def test_doctor_says_what_is_missing(tmp_path, capsys):
    (tmp_path / "PennAction" / "labels").mkdir(parents=True)
    assert command.main(["doctor", "--data-root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "PennAction: incomplete" in printed and "LSP: not there; joints_2000.mat" in printed
