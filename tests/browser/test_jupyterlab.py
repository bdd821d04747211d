"""Notebooks as JupyterLab shows them: they run, sliders change pictures, trainings stop."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from posekit.files.paths import project_root
from posekit.reporting.record import all_runs, read_record

TOKEN = "posekit"
WAIT = 240  # seconds for whatever a slow machine is busy with; nothing waits longer than it has to
EPOCHS = 6  # of a training that is stopped
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells off the screen are there too
}
BYTES = """async image => Array.from(new Uint8Array(
    await (await fetch(image.src)).arrayBuffer())).reduce((a, b) => (a * 31 + b) % 1e9, 7)"""


def until(done, what, seconds=WAIT):
    """Wait for something that becomes true."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """A JupyterLab of its own, in a folder with copies of notebooks: its address and its folder."""
    home = tmp_path_factory.mktemp("lab")
    for name in ("explore", "train_lpm"):
        text = (project_root() / f"notebooks/{name}.ipynb").read_text()
        text = text.replace("epochs: int = None", f"epochs: int = {EPOCHS}")
        (home / f"{name}.ipynb").write_text(text)
    for name, values in SETTINGS.items():
        file = home / f".settings/@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    own = {f"JUPYTER_{name}": str(home / f".{folder}") for name, folder in folders.items()}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(home / ".settings")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(home / ".workspaces")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--no-browser --allow-root --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0"
    options += f" --IdentityProvider.token={TOKEN} --ServerApp.root_dir={home}"
    with (home / ".log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options.split()]
        server = subprocess.Popen(command, env=os.environ | own, cwd=home, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: server.poll() is not None or answers(address), "server")
        assert server.poll() is None, (home / ".log").read_text()
        yield address
    finally:
        server.terminate()  # and with it its kernels
        server.wait(30)


def answers(address):
    try:
        return urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=5).status
    except OSError:
        return False


@pytest.fixture
def open_notebook(lab, visit):
    """Open a notebook by its name and wait for its kernel: Playwright's page."""

    def open_it(name):
        page = visit(f"{lab}/lab/tree/{name}.ipynb?reset&token={TOKEN}")
        page.set_default_timeout(1000 * WAIT)
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.get_by_text(re.compile(r"\| Idle$")).wait_for()
        return page

    return open_it


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def run_with(status, paper, older):
    """The folder of a paper's run, once it has this status; not one of the older runs."""

    def found():
        runs = [(f, r) for f, r in all_runs() if f not in older]
        return next((f for f, r in runs if (r.paper, r.status) == (paper, status)), None)

    return until(found, f"{status} run of {paper}")


def test_explore_runs_and_a_slider_changes_the_picture(open_notebook):
    page, older = open_notebook("explore"), dict(all_runs())
    run_all(page)
    assert (run_with("finished", "explore", older) / "report.html").is_file()
    output = page.locator(".jp-OutputArea-output", has=page.locator(".widget-slider")).first
    image, handle = output.locator("img.widget-image"), output.locator(".noUi-handle").first
    before = image.evaluate(BYTES)
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("ArrowRight")
    until(lambda: image.evaluate(BYTES) != before, "other picture")
    assert image.evaluate("image => image.naturalWidth") > 200


def test_a_training_is_stopped_by_its_button_and_goes_on_to_the_end(open_notebook):
    page, older = open_notebook("train_lpm"), dict(all_runs())
    run_all(page)
    page.locator("button.widget-button", has_text="Stop").click()
    folder = run_with("interrupted", "lpm", older)
    page.get_by_text("goes on from there").first.wait_for()
    run_all(page)
    assert run_with("finished", "lpm", older) == folder
    assert read_record(folder).epochs_done == EPOCHS
    page.get_by_text(re.compile(r"^report .*report\.html", re.M)).last.wait_for()
    assert (folder / "weights.safetensors").is_file()
    assert page.locator(".jp-OutputArea-output img").count() > 3
