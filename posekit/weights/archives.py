"""Files of torch.save, looked over before torch reads them.

Its reader follows the tables of an archive wherever they lead, unpacks what is packed, and runs
through the pickles inside, see posekit.weights.pickles. An archive is accepted here in the one form
that torch.save writes, so that no two readers can differ on what is in it.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from .pickles import check_pickle

_ARCHIVE = b"PK\3\4"  # begins an archive and every entry
# The number that begins files of torch before 1.6, as a pickle; four more pickles follow.
_OLD_FILE, _OLD_PICKLES = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", 5
# Records of the zip format, the first field of each its mark.
_ENTRY = struct.Struct("<4s5H3L2H")  # in front of its content
_LISTED = struct.Struct("<4s6H3L5H2L")  # in the table
_END = struct.Struct("<4s4H2LH")
_END_64, _FINDER_64 = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")  # before the end
_ELSEWHERE = 0xFFFFFFFF  # stands for a size that needs 64 bits


def check_torch_file(path: Path) -> None:
    """Refuse what torch.save does not write, or what takes far more than the file's size to read.

    Raises:
        ValueError: what is wrong; other errors where the file is damaged.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if content[: len(_ARCHIVE)] == _ARCHIVE:
            for pickle in _pickles(content):
                check_pickle(pickle, len(content))
        elif content[: len(_OLD_FILE)] == _OLD_FILE:
            for _ in range(_OLD_PICKLES):
                check_pickle(content, len(content))
        else:
            raise ValueError("not written by torch.save")


def _pickles(content: mmap.mmap) -> Iterator[bytes]:
    """The pickles of an archive, each under any spelling of its name that torch accepts.

    Raises:
        ValueError: the archive is compressed, cut off, or otherwise not as torch.save writes it.
    """
    entries = list(_entries(content, *_table(content)))
    if sum(size for _, _, size in entries) > len(content):
        raise ValueError("a compressed archive, larger than its file")
    for name, start, size in entries:
        if name.lower().endswith(b"data.pkl"):
            yield content[start : start + size]


def _table(content: mmap.mmap) -> tuple[int, int]:
    """Where the table of entries starts and ends: right before the records that end the file."""
    end = len(content) - _END.size
    mark, *_, size, start, comment = _END.unpack_from(content, end)
    at_end = mark == b"PK\5\6" and not comment
    finder = end - _FINDER_64.size
    if content[finder : finder + 4] == b"PK\6\7":
        end = finder - _END_64.size
        mark, length, *_, size, start = _END_64.unpack_from(content, end)
        told = _FINDER_64.unpack_from(content, finder)[2]
        at_end = at_end and (mark, length, told) == (b"PK\6\6", _END_64.size - 12, end)
    if not at_end or start + size != end:
        raise ValueError("an archive whose table is not at its end: cut off, or changed")
    return start, end


def _entries(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of what the archive holds."""
    while at < end:
        mark, *_, method, _, _, _, packed, size, name, extra, note, _, _, _, entry = (
            _LISTED.unpack_from(content, at)
        )
        if mark != b"PK\1\2" or _ELSEWHERE in (packed, size, entry):
            raise ValueError("an archive whose table is damaged")
        if method or packed != size:
            raise ValueError("a compressed archive, which could fill the memory")
        mark, *_, its_name, its_extra = _ENTRY.unpack_from(content, entry)
        if mark != _ARCHIVE:
            raise ValueError("an archive whose table is damaged")
        first = at + _LISTED.size
        yield content[first : first + name], entry + _ENTRY.size + its_name + its_extra, size
        at = first + name + extra + note
