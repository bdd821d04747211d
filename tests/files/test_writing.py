"""Files appear whole or not at all."""

import pytest

from posekit.files.writing import replacing, whole_file, write_text


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.parent == tmp_path
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kept", [None, "old"])
def test_after_an_error_what_was_there_stays(tmp_path, kept):
    path = tmp_path / "a.txt"
    if kept:
        write_text(path, kept)
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert [p.read_text() for p in tmp_path.iterdir()] == [kept] * bool(kept)
