"""What every test and every notebook kernel sees: the small sample, a temporary reports folder."""

import os
import shutil
import tempfile

from hypothesis import settings

MAIN_PROCESS = "PYTEST_XDIST_WORKER" not in os.environ


# Machines differ in speed, and a run of the suite should not depend on luck.
settings.register_profile("posekit", deadline=None, derandomize=True)


def pytest_configure(config):
    settings.load_profile("posekit")
    if not MAIN_PROCESS:
        return
    os.environ["POSEKIT_SMOKE"] = "1"
    os.environ["POSEKIT_REPORTS"] = tempfile.mkdtemp(prefix="posekit-reports-")
    os.environ.pop("POSEKIT_DATA", None)
    # nbval reads a cell's messages only when it ends, and a bar sends thirty a second.
    os.environ["TQDM_MININTERVAL"] = "2"
    # More threads only fight each other on the small tensors of the tests.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_unconfigure(config):
    if MAIN_PROCESS:
        shutil.rmtree(os.environ.pop("POSEKIT_REPORTS", ""), ignore_errors=True)
