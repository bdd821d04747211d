#!/usr/bin/env python3
"""Set posekit up and run it, from nothing but Python 3.11+ and pip.

    python3 run.py            set up, then train LPM on Penn Action (or on the generated sample)
    python3 run.py PAPER [DATA SET]   another paper of notebooks/train_*.ipynb, as in: cpm LSP
    python3 run.py test       set up, then run all tests; further words go to pytest
    python3 run.py setup      set up only
    python3 run.py lab        open JupyterLab on the notebooks
    python3 run.py report     rebuild reports/index.html
    python3 run.py bench      measure what is fast against how others do it; rows by their KEYs

Everything is installed below this folder, in .venv and .tools; the first time fetches about 3 GB
and takes one to five minutes, later ones take a second. Words after these that begin with a dash
go to the job, as in `python3 run.py -p epochs 3`. Ctrl-C is safe: the same line goes on.
"""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent
SCRIPTS, EXE = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
UV = ROOT / ".tools" / "bin" / ("uv" + EXE)
PYTHON = ROOT / ".venv" / SCRIPTS / ("python" + EXE)
STAMP = ROOT / ".venv" / "posekit-setup.txt"


def main(words):
    if sys.version_info < OLDEST:
        stop(
            "posekit needs Python {}.{} or newer; this is {}. Start run.py with a newer one, for "
            "example: python3.12 run.py".format(*OLDEST, sys.version.split()[0])
        )
    word, rest = ("", words) if not words or words[0].startswith("-") else (words[0], words[1:])
    if word == "help" or rest[:1] in (["-h"], ["--help"]) and not word:
        stop(__doc__, 0)
    jobs = {
        "": ["-m", "posekit", "run", "lpm", "PennAction", *rest],
        "test": ["-m", "pytest", "--nbval", "-n", "2", *rest],
        "lab": ["-m", "jupyter", "lab", "notebooks", *rest],
        "report": ["-m", "posekit", "report", *rest],
        "bench": ["-m", "benchmarks", *rest],
        "setup": None,
    }
    papers = sorted(p.stem[len("train_") :] for p in ROOT.glob("notebooks/train_*.ipynb"))
    jobs.update({paper: ["-m", "posekit", "run", paper, *rest] for paper in papers})
    if word not in jobs:
        stop(f"unknown word {word!r}: choose one of {', '.join(filter(None, jobs))}")
    os.chdir(ROOT)
    set_up()
    if jobs[word]:
        os.execv(PYTHON, [str(PYTHON), *jobs[word]])


def set_up():
    """Make .venv, and install into it when pyproject.toml or constraints.txt changed."""
    told = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    wanted = hashlib.sha256(told + str(ROOT).encode()).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    say("Setting up .venv: about 3 GB and one to five minutes the first time, seconds later on.")
    start = time.time()
    if not UV.exists():
        # `--target` works where the system refuses `pip install` and has no venv module.
        pip = (sys.executable, "-m", "pip", "install", "--quiet")
        needs = "It needs pip (on Debian: apt-get install python3-pip) and a network."
        run(*pip, "--target", UV.parents[1], "uv", why=needs)
    if not PYTHON.exists():
        run(UV, "venv", "--quiet", "--seed", "--python", sys.executable, ".venv")
    packages = ("-c", "constraints.txt", "-e", ".[dev]")
    needs = "It needs a network and 10 GB of space; .venv can be deleted to start again."
    if STAMP.exists():  # of an older set-up, whose OpenCV has the same files as today's
        run(UV, "pip", "uninstall", "--quiet", "--python", PYTHON, "opencv-python")
    run(UV, "pip", "install", "--python", PYTHON, *packages, why=needs)
    check_libraries()
    # What a notebook imports is compiled now, even where Python is told to keep nothing compiled.
    modules = "import papermill, ipykernel.kernelapp, posekit.workflows.training"
    subprocess.run([PYTHON, "-c", modules], env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""})
    STAMP.write_text(wanted)
    say(f"Set up in {time.time() - start:.0f} s.")


def check_libraries():
    """OpenCV's wheel leans on two system libraries that bare Linux images lack."""
    tried = subprocess.run([PYTHON, "-c", "import cv2"], capture_output=True, text=True)
    if tried.returncode:
        stop(
            f"OpenCV does not start: {tried.stderr.strip().splitlines()[-1]}\n"
            "It needs two system libraries: apt-get install libgl1 libglib2.0-0 (Debian, Ubuntu).\n"
            f"Where they cannot be installed: {PYTHON} -m pip uninstall opencv-contrib-python, "
            f"then {PYTHON} -m pip install opencv-contrib-python-headless"
        )


def run(*command, why=""):
    done = subprocess.run([str(part) for part in command])
    if done.returncode:
        stop(f"This failed: {' '.join(map(str, command))}\n{why}", done.returncode)


def say(text):
    print(text, flush=True)


def stop(text, status=1):
    print(text, file=sys.stderr if status else sys.stdout)
    sys.exit(status)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        stop("\nStopped: the same line goes on.", 130)
