"""Costs of networks: the counts that papers print, their claims, and fair timing."""

import json
from types import SimpleNamespace

import pytest
import torch
import yaml
from torch import nn

from posekit.config.machine import choose_machine
from posekit.config.resolve import resolve
from posekit.geometry.skeletons import COCO, MPII
from posekit.models import cost, describe
from posekit.reporting import figures
from posekit.reporting.run_folder import Run
from posekit.workflows import efficiency
from posekit.workflows.efficiency import (
    compare_runs,
    contenders,
    costs,
    latencies,
    settings_if_usable,
    shares,
)
from posekit.workflows.training.experiment import Experiment


def settings(paper, **knobs):
    return resolve(paper, {"dataset": "COCO", "source": "sample", **knobs}).settings


# Published: 8.9, 7.1 and 1.0; LPN's README says 1.0, 1.4, 1.8 for its three depths.
@pytest.mark.parametrize(
    ("network", "legacy", "gmacs"),
    [
        ("pose_resnet_50", 8.991, 5.426),
        ("hrnet_w32", 7.120, 7.645),
        ("lpn_50", 1.008, 1.070),
        ("ldcrn", 6.095, 6.544),
    ],
)
def test_the_count_of_the_papers_and_the_true_one(network, legacy, gmacs):
    one = settings("simplebaseline", network=network, width=1.0, image_size=[256, 192])
    found = costs({"it": one}, COCO).loc["it"]
    assert found["legacy GFLOPs"] == pytest.approx(legacy, abs=6e-4)
    assert found["GMACs"] == pytest.approx(gmacs, abs=6e-4)


def test_claims_of_the_abstracts():
    def against(paper, rival):
        chosen = contenders(settings(paper))
        names = [name for name in chosen if name.startswith((paper, rival))][:2]
        return shares(costs({name: chosen[name] for name in names}, COCO))

    lpn = against("lpn", "pose_resnet_50")  # "about 9 %" and "11 %"
    assert "8.6% of the parameters" in lpn and "11.2% of the legacy GFLOPs" in lpn
    assert "19.7% of the GMACs" in lpn
    ldcrn = against("ldcrn", "hrnet_w32")  # "-72 %" and "-14 %"
    assert "27.7% of the parameters (-72.3%)" in ldcrn and "85.6% of the GMACs (-14.4%)" in ldcrn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(1, 4, 1)
        self.thin = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        y = self.wide(x).relu_()  # in place: takes no room of its own
        z = y.flatten(2).unflatten(2, x.shape[2:])  # nor does a view
        return self.thin(z) + x


def test_memory_is_what_is_alive_at_once():
    found = cost(Residual(), torch.empty(1, 1, 8, 8))
    assert found.activations == 4 * 64 * (1 + 4 + 1 + 1)  # x, y, its thin copy, the sum
    chain = nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(9)))
    alive = cost(chain, torch.empty(1, 2, 8, 8)).activations
    assert alive == 4 * 64 * 2 * 3  # the input, what a layer reads, what it writes


def test_legacy_count_takes_transposed_convolutions_four_times():
    layers = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 2, 2, 2)
    )
    found = cost(layers, torch.empty(1, 4, 16, 16))
    convolution, transposed = 8 * 9 * 16 * 16, 8 * 2 * 4 * 32 * 32
    assert found.legacy_gflops == (convolution + transposed) / 2**30
    assert found.gmacs == pytest.approx((convolution + transposed / 4) / 1e9)


def test_rivals_share_the_crop_and_have_no_options_of_another_network():
    one = settings("lpn", attention="se", decoder="soft_argmax")
    chosen = contenders(one)
    assert [c.network for c in chosen.values()] == ["lpn_50", *efficiency.RIVALS, "lpn_50"]
    assert list(chosen.values())[-1] == one
    for rival in list(chosen.values())[:3]:
        assert rival.width == 1 and rival.image_size == (256, 192)
    assert [c.options() for c in chosen.values()][:3] == [{"attention": "se"}, {}, {}]
    small = contenders(one, full=False)
    assert len(small) == 3
    assert {(c.width, c.image_size) for c in small.values()} == {(one.width, one.image_size)}


class Clocked:
    """A task that notes when it runs and at how many threads."""

    def __init__(self, name, notes):
        self.name, self.notes, self.model = name, notes, nn.Conv2d(3, 1, 1)

    def heatmaps(self, images):
        self.notes.append((self.name, torch.get_num_threads(), self.model.training))
        return torch.zeros(1, 1, 2, 4, 4)

    def flip_back(self, maps):
        return maps

    def decode(self, maps, image_size):
        assert image_size == (16, 16)


def test_networks_take_turns_on_one_thread():
    notes, before = [], torch.get_num_threads()
    shape = (1, 1, 3, 16, 16)
    torch.set_num_threads(2)
    try:
        found = latencies({name: (Clocked(name, notes), shape) for name in "ab"}, repeats=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    once = ["a"] * 3 + ["b"] * 3  # alone, then with its mirror image
    assert [name for name, _, _ in notes] == 3 * once  # the first turn warms up
    assert {(threads, training) for _, threads, training in notes} == {(1, False)}
    assert set(found) == {"a", "b"} and all(0 < a and 0 < b for a, b in found.values())


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    return tmp_path


def configured(paper, **knobs):
    return resolve(paper, {"dataset": "MPII", "resume": "never", **knobs})


def a_run(paper, score, status="finished", **knobs):
    run = Run.open(configured(paper, **knobs))
    run.update(metric="PCKh@0.5", metrics={"Mean": score}, baseline={"mean_pose": 20.0})
    run.end(status)
    return run


def test_only_runs_that_compare_are_compared(reports, monkeypatch):
    a_run("lpn", 60.0, attention="none")
    a_run("lpn", 40.0, "failed", attention="se")
    a_run("lpn", 50.0, eval_split="val", width=0.25)
    a_run("simplebaseline", 55.0).update(metric="PCKh@0.1")
    broken = a_run("hrnet", 70.0)
    (broken.folder / "params.yaml").write_text("network: [", encoding="utf-8")
    old = a_run("simplebaseline", 52.0)
    values = yaml.safe_load((old.folder / "params.yaml").read_text(encoding="utf-8"))
    (old.folder / "params.yaml").write_text(yaml.safe_dump(values | {"gone": 1}), encoding="utf-8")
    strange = a_run("hrnet", 51.0)
    values = yaml.safe_load((strange.folder / "params.yaml").read_text(encoding="utf-8"))
    values["network"] = "hrnet_w99"
    (strange.folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    empty = a_run("simplebaseline", 50.0)
    (empty.folder / "metrics.json").write_text('{"status": "finished", "metrics": null}')
    mine = a_run("lpn", 58.0, "interrupted")  # finish comes after this figure
    assert settings_if_usable(broken.folder) is None and settings_if_usable(old.folder) is None
    config = configured("lpn")
    expected = config.settings.model_dump() | {"source": "sample"}
    assert settings_if_usable(mine.folder).model_dump() == expected

    shown = []
    monkeypatch.setattr(
        figures, "tradeoff", lambda *a, real=figures.tradeoff: shown.append(a) or real(*a)
    )
    about, train = describe(config.network), SimpleNamespace(skeleton=MPII)
    compare_runs(Experiment(config, mine, choose_machine("cpu"), about, train=train))
    points, metric, baseline, _ = shown[0]
    assert metric == "PCKh@0.5" and baseline == 20
    assert [(name, score) for name, score, *_ in points] == [
        ("lpn_50, 64x64, width 0.125", 58.0),
        ("lpn_50, 64x64, width 0.125, attention None", 60.0),
    ]
    assert points[0][2] > points[1][2] and all(value > 0 for p in points for value in p[2:])
    record = json.loads((mine.folder / "metrics.json").read_text(encoding="utf-8"))
    assert "8-tradeoff-sample.png" in record["figures"]
