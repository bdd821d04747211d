"""How threads, loading processes and precision are chosen."""

import os
import subprocess
import sys

import pytest
import torch

from posekit.config import machine
from posekit.config.machine import choose_machine
from posekit.models import describe, list_models


@pytest.fixture
def cpu(monkeypatch):
    """Say which instructions the CPU has."""

    def claim(**found):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)

    return claim


@pytest.fixture
def bound(monkeypatch):
    """Say how many processors this process may run on, and hear the number of threads set."""
    heard = []
    monkeypatch.setattr(machine, "_quotas", lambda: iter(()))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(torch, "set_num_threads", heard.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def to(count, quotas=()):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(count), raising=False)
        monkeypatch.setattr(machine, "_quotas", lambda: iter(quotas))
        return heard

    return to


def autocast_types(chosen):
    """The types that a training step and a prediction multiply in."""
    types = []
    for training in (True, False):
        with chosen.autocast(training):
            types.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    return types


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_with_bf16_trains_in_it_what_gains_and_scores_in_fp32(cpu, instructions):
    cpu(**{instructions: True})
    chosen = choose_machine("cpu", fast_bf16=True)
    assert autocast_types(chosen) == [torch.bfloat16, torch.float32]
    assert chosen.precision == "bf16"
    for other in (choose_machine("cpu"), choose_machine("cpu", "fp32", fast_bf16=True)):
        assert autocast_types(other) == [torch.float32] * 2
        assert other.precision == "fp32"


def test_a_cpu_without_bf16_trains_in_fp32(cpu):
    cpu(avx512_bf16=False, avx512_f=True)
    assert choose_machine("cpu", fast_bf16=True).precision == "fp32"
    wanted = choose_machine("cpu", "bf16", fast_bf16=True)  # slow there, but what was asked for
    assert autocast_types(wanted) == [torch.bfloat16] * 2


def test_a_continued_run_trains_in_its_own_precision(cpu):
    cpu(avx512_bf16=True)
    continued = choose_machine("cpu", fast_bf16=True).training_in("fp32")
    assert (autocast_types(continued), continued.precision) == ([torch.float32] * 2, "fp32")


def test_networks_of_dense_convolutions_gain_by_bf16():
    papers = {describe(name).stem for name in list_models() if describe(name).fast_bf16}
    assert papers == {"cpm", "hourglass", "hrnet", "lpm", "simplebaseline"}


@pytest.mark.parametrize(
    ("processors", "quotas", "threads", "workers"),
    [(8, (), 8, 7), (8, (3.5, 6.0), 3, 2), (8, (0.5,), 1, 0), (2, (), 2, 0), (12, (), 12, 8)],
)
def test_threads_and_workers_are_as_many_as_may_run(bound, processors, quotas, threads, workers):
    heard = bound(processors, quotas)
    assert choose_machine("cpu").workers == workers
    assert heard == [threads]


def test_a_gpu_is_fed_by_more_processes(bound, monkeypatch):
    bound(64)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)  # there may be no GPU here
    assert choose_machine("cuda", "bf16").workers == 24


def test_the_users_number_of_threads_is_kept(bound, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    heard = bound(4)
    choose_machine("cpu")
    assert heard == []


def test_quotas_of_all_groups_around_the_process_count(tmp_path):
    group = tmp_path / "sys/fs/cgroup/outer/inner"
    for folder, text in ((group, "max 100000\n"), (group.parent, "250000 100000\n")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(text)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("1:cpu:/elsewhere\n0::/outer/inner\n")
    assert list(machine._quotas(tmp_path)) == [2.5]
    assert list(machine._quotas(tmp_path / "empty")) == []


def test_loading_processes_have_one_thread_each():
    code = """
import torch
from posekit.data.clips import loader
class Threads(torch.utils.data.Dataset):
    seed, share_decode = 0, False
    def __len__(self): return 2
    def __getitem__(self, key): return torch.get_num_threads()
torch.set_num_threads(2)
print([batch.tolist() for batch in loader(Threads(), 1, False, 1, False)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[[1], [1]]", done.stderr
