"""What a notebook costs beside its training: papermill of `train_lpm` on the smallest sample."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from posekit.workflows.notebooks import notebook_path

from .harness import Pair, Way, row


@row("notebook_overhead", goal=0.34, against="papermill of `import torch` alone", rounds=1)
def notebook_overhead() -> Pair:
    """The goal is 8 s where papermill and torch take the 2.7 s that they need at the least."""
    folder = tempfile.TemporaryDirectory(prefix="posekit-")
    cells = [nbformat.v4.new_code_cell("import torch")]
    empty = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(empty, Path(folder.name, "empty.ipynb"))
    environment = os.environ | {"POSEKIT_SMOKE": "1", "POSEKIT_REPORTS": folder.name}
    environment["PYTHONDONTWRITEBYTECODE"] = ""  # modules are compiled once, by the first round

    def way(notebook: Path) -> Way:
        out = Path(folder.name, "out.ipynb")
        command = [sys.executable, "-m", "papermill", "-k", "python3", "--start-timeout", "600"]

        def run() -> bool:
            words = [*command, notebook, out]
            subprocess.run(words, check=True, capture_output=True, env=environment)
            return out.stat().st_size > 0

        return run

    def equal(*written: bool) -> str:
        assert all(written)
        return "both notebooks ran to their end"

    ways = way(Path(folder.name, "empty.ipynb")), way(notebook_path("lpm"))
    data = "train_lpm, user seconds of papermill and its kernel"
    return Pair(*ways, equal, data, cost="children", notes=lambda: folder.cleanup() or "")
