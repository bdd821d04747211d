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


def test_the_browser_shows_pictures_at_their_own_size(monkeypatch):
    from types import SimpleNamespace

    import numpy as np
    from matplotlib.figure import Figure

    from posekit.workflows import widgets as notebook

    monkeypatch.setattr(notebook, "prediction_picture", lambda *_: Figure(figsize=(2, 1)))
    experiment = SimpleNamespace(
        test=SimpleNamespace(people=np.zeros(3)), settings=SimpleNamespace(interactive=True)
    )
    box = notebook.browse(experiment)
    assert box.layout.align_items == "flex-start"
    assert box.children[-1].layout.max_width == "100%" and box.children[-1].layout.width is None
