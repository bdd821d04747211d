"""Files appear whole or not at all."""

import os

import numpy as np
import pytest

from posekit.files.writing import replacing, whole_file, write_text


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.parent == tmp_path
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    calls, real = [], {"fsync": os.fsync, "replace": os.replace}

    def watched(name):
        def call(*given):
            calls.append(name)
            return real[name](*given)

        return call

    for name in real:
        monkeypatch.setattr(os, name, watched(name))
    write_text(tmp_path / "a.txt", "new")
    assert calls == ["fsync", "replace"]


def test_what_is_written_to_keeps_the_suffix(tmp_path):
    """Writers of other libraries choose the format by it, or append it."""
    with replacing(tmp_path / "a.npz") as partial:
        np.savez(partial, numbers=np.arange(3))
    assert np.load(tmp_path / "a.npz")["numbers"].tolist() == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kept", [None, "old"])
def test_after_an_error_what_was_there_stays(tmp_path, kept):
    path = tmp_path / "a.txt"
    if kept:
        write_text(path, kept)
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert [p.read_text() for p in tmp_path.iterdir()] == [kept] * bool(kept)
