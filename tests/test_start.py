"""How processes of ours start: threads that do not spin, and `import posekit` from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*words, cwd=ROOT, **environment):
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
    ids=["default", "own count", "own policy"],
)
def test_threads_do_not_spin_unless_the_user_says_so(given, expected):
    code = "import posekit, os, sys; assert 'torch' not in sys.modules"
    assert run("-c", f"{code}; print(os.environ.get('GOMP_SPINCOUNT'))", **given) == expected


@pytest.fixture
def parent(tmp_path):
    """The folder that contains a clone called posekit."""
    (tmp_path / "posekit").symlink_to(ROOT)
    return tmp_path


@pytest.mark.parametrize("place", ["parent", "root"])
def test_posekit_is_imported_from_any_folder(parent, place):
    cwd = parent if place == "parent" else "/"
    assert "lpm" in run("-c", "import posekit; print(posekit.list_models())", cwd=cwd)


def test_commands_work_from_the_parent_folder(parent):
    assert "device: " in run("-m", "posekit", "doctor", cwd=parent)
    run(
        *("-m", "papermill", "posekit/notebooks/prepare_pennaction.ipynb", "out.ipynb"),
        cwd=parent,
        POSEKIT_SMOKE="1",
    )
    assert (parent / "out.ipynb").is_file()


def test_papermill_ends_with_one_message(tmp_path):
    """The call stack of papermill stands above it, none of posekit's."""
    words = [sys.executable, "-m", "papermill", "notebooks/train_lpm.ipynb", tmp_path / "out.ipynb"]
    done = subprocess.run([*words, "-p", "epohcs", "3"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    said = done.stderr.rpartition("-" * 75)[2].split("\n", 2)
    assert said[1] == 'Exception encountered at "In [3]":'
    assert said[2].startswith("PosekitError: the lpm notebook cannot run with this:\n  epohcs=3: ")
    assert "did you mean epochs?" in said[2] and "posekit/" not in said[2]


@pytest.fixture
def stand_in(monkeypatch):
    """run.py with commands that only say what they would do."""
    from importlib import util

    spec = util.spec_from_file_location("run_py", ROOT / "run.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "set_up", lambda: None)
    monkeypatch.setattr(module.os, "chdir", lambda _: None)
    started = []
    monkeypatch.setattr(module.os, "execv", lambda _, words: started.append(words[1:]))
    return module.main, started


def test_run_py_takes_a_paper_and_a_data_set(stand_in, capsys):
    main, started = stand_in
    main([])
    main(["cpm", "LSP", "-p", "epochs", "1"])
    main(["hrnet"])
    assert [words[2:] for words in started] == [
        ["run", "lpm", "PennAction"],
        ["run", "cpm", "LSP", "-p", "epochs", "1"],
        ["run", "hrnet"],
    ]
    with pytest.raises(SystemExit):
        main(["lmp"])
    assert "unknown word 'lmp': choose one of test, lab" in (said := capsys.readouterr().err)
    assert "cpm, hourglass" in said
