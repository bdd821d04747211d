"""Runs `python -m posekit` again and again in forked processes, and ends them where it is told.

A process that has imported everything forks one child a job, which saves the seconds that importing
takes. Jobs come as lines of json on the standard input, results go to the standard output.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.truncate"}


class Writes:
    """Counts what changes files below a folder, and sends a signal before the n-th of it."""

    def __init__(self, folder, number, sent):
        self.folder, self.number, self.sent, self.count = folder, number, sent, 0
        self.sync = os.fsync
        os.fsync = self.fsync  # Python tells nobody of it
        sys.addaudithook(self.hook)

    def hook(self, event, given):
        if event in CHANGES or (event == "open" and given[2] & WRITING):
            if isinstance(given[0], str | os.PathLike) and self.folder in os.fspath(given[0]):
                self.add()

    def fsync(self, file):
        self.add()
        self.sync(file)

    def add(self):
        self.count += 1
        if self.count == self.number:
            os.kill(os.getpid(), self.sent)


def work(job):
    """The child: one command, whose exit status is its own."""
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.setpgid(0, 0)
    os.environ["POSEKIT_REPORTS"] = job["reports"]
    if job["largest"]:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest"], job["largest"]))
    if job["code"]:
        exec(job["code"], {})
    writes = Writes(job["reports"], job["number"], job["signal"])
    if job["after"]:
        threading.Timer(job["after"], os.kill, (os.getpid(), job["signal"])).start()
    from posekit.__main__ import main

    status = 99
    try:
        status = main(job["words"].split())
    finally:
        Path(job["output"]).with_suffix(".count").write_text(str(writes.count))
        sys.stdout.flush()
        sys.stderr.flush()
        if status == 99:
            sys.excepthook(*sys.exc_info())
        # The threads of a run that is over would wait for their timer.
        for child in __import__("multiprocessing").active_children():
            child.kill()
        os._exit(status)


def warm():
    """Import everything and generate the samples, once."""
    import cv2

    from posekit.__main__ import main
    from posekit.workflows import training

    cv2.setNumThreads(0)
    training.error_gallery = training.heatmaps = lambda exp: None  # seconds of drawing
    silence = open(os.devnull, "w")  # noqa: SIM115
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(silence):
        os.environ["POSEKIT_REPORTS"] = folder
        for paper in ["lpm PennAction", "lpn COCO"][: 1 + (os.environ.get("POSEKIT_SLOW") == "1")]:
            main(f"train {paper} -p source sample -p workers 0".split())


def serve():
    warm()
    answers = os.fdopen(os.dup(1), "w")
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        job, started = json.loads(line), time.monotonic()
        children = [os.fork() or work(job) for _ in range(job["copies"])]
        ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        status = max(ends, key=abs)
        print(json.dumps([status, time.monotonic() - started]), file=answers, flush=True)


if __name__ == "__main__":
    serve()
