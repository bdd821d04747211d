"""Whether a pickle is cheap to read: nothing in it may make much out of little.

torch's own reader runs no code, but follows a pickle wherever it leads. A tuple that holds the one
before it twice, and so on sixty times, takes a few hundred bytes and for ever to hash; a tuple in a
tuple, half a million times, ends the process; one call with a large number takes all memory. Here
the instructions are followed without making anything, and what stands for a thing is only what it
is made of. Which modules may be used at all stays torch's own decision.
"""

import mmap
import pickletools
from itertools import islice
from typing import Any

# What torch.save calls to store tensors, numbers and text, without the modules.
_CALLED = frozenset(
    (
        "OrderedDict Counter set complex Size device Parameter _rebuild_parameter "
        "_rebuild_parameter_with_state _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 "
        "encode scalar dtype"
    ).split()
)
_HASHING = frozenset({"OrderedDict", "Counter", "set", "Size"})  # the parts of their arguments
_DEEPEST = 50  # tuples and lists within each other; real files have under ten
_MOST_KEYS = (
    1000  # of other kinds than text and small numbers: a million that collide are easily made
)
_COLLIDING = 2**60  # smaller numbers have hashes of their own


def check_pickle(content: bytes | mmap.mmap, largest: int) -> None:
    """Follow the pickle at the place where a stream stands, to its end.

    Args:
        content: the pickle alone, or a file that stands where it begins.
        largest: numbers that all tensors may have together.

    Raises:
        ValueError: it does what no file of weights does; other errors where it is damaged.
    """
    pickle = _Pickle(largest)
    for instruction, argument, at in pickletools.genops(content):
        pickle.read = at
        pickle.follow(instruction.name, argument)


class _Name(str):
    """A function or a type."""


class _Table(list):
    """A dict: keys and values in turn."""


class _Result(list):
    """What a call returned: unknown, but for its arguments."""


class _Pickle:
    """State of a reader that makes nothing: stack, marks and memo, and what was spent so far.

    Lists and sets are lists here, tuples are tuples.

    Attributes:
        read: bytes up to the present instruction. So many things may be gone through: every one is
            written somewhere, and only sharing lets few bytes stand for many things.
    """

    def __init__(self, largest: int) -> None:
        self.read = self.spent = 0
        self.numbers_left, self.keys_left = largest, _MOST_KEYS
        self.storages: set[tuple[str, int]] = set()
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def follow(self, instruction: str, argument: Any) -> None:
        """One instruction; its argument is what pickletools reads behind it."""
        stack = self.stack
        match instruction:
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(argument)
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append(None)
            case "MARK":
                self.marks.append(stack)
                self.stack = []
            case "TUPLE":
                self._since_mark().append(tuple(stack))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                parts = -int(instruction[-1])
                stack[parts:] = [tuple(stack[parts:])]
            case "GLOBAL":
                stack.append(_Name(argument.replace(" ", ".")))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(self._call(stack.pop(), arguments))
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_DICT":
                stack.append(_Table())
            case "APPEND":
                part = stack.pop()
                stack[-1].append(part)
            case "APPENDS":
                self._since_mark()[-1].extend(stack)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set_items(stack[-1], [key, value])
            case "SETITEMS":
                self._set_items(self._since_mark()[-1], stack)
            case "BUILD":
                self._build(stack)
            case "PROTO" | "STOP":
                pass
            case _:
                raise ValueError(f"the instruction {instruction}, which torch.save never writes")

    def _since_mark(self) -> list[Any]:
        """Go back to the stack below the mark."""
        self.stack = self.marks.pop()
        return self.stack

    def _set_items(self, table: list[Any], pairs: list[Any]) -> None:
        for key in pairs[::2]:
            self._hash(key)
        table.extend(pairs)

    def _build(self, stack: list[Any]) -> None:
        state = stack.pop()
        flat = type(state) is tuple and not any(isinstance(part, tuple | list) for part in state)
        if not flat and type(state) is not _Table:
            raise ValueError("an object whose state is neither a dict nor a few numbers")
        self._go_through(state)
        stack[-1].append(state)

    def _call(self, function: Any, arguments: Any) -> _Result:
        if type(function) is not _Name or type(arguments) is not tuple:
            raise ValueError("a call that is not written out")
        name = function.rpartition(".")[2]
        if name not in _CALLED:
            raise ValueError(f"unsupported global {function}")
        self._go_through(arguments)
        if name in _HASHING:
            self._hash_parts(name, arguments)
        if name == "encode":
            text, *coding = arguments
            if type(text) is not str or coding != ["latin1"]:
                raise ValueError("unsupported global _codecs.encode of anything but latin1 text")
            self._spend(len(text))
        return _Result(arguments)

    def _storage(self, told: Any) -> _Result:
        """Numbers of a tensor, stored elsewhere in the file."""
        _, _, key, _, numbers, *_ = told
        if type(told) is not tuple or type(key) is not str or type(numbers) is not int:
            raise ValueError("a storage that is not described as torch.save does")
        self._go_through(told)
        if (key, numbers) not in self.storages:
            self.storages.add((key, numbers))
            self.numbers_left -= numbers
        if numbers < 0 or self.numbers_left < 0:
            raise ValueError("tensors of more numbers than the file has bytes")
        return _Result()

    def _hash_parts(self, name: str, arguments: tuple[Any, ...]) -> None:
        for part in arguments:
            if type(part) is _Table:  # its keys were looked at when they came in
                continue
            if type(part) not in (list, tuple):
                raise ValueError(f"{name} of something that is not written out")
            for thing in part:
                pair = type(thing) is list and len(thing) == 2  # how Python 2 stored an OrderedDict
                self._hash(thing[0] if pair else thing)

    def _hash(self, key: Any) -> None:
        if type(key) is str or (type(key) is int and abs(key) < _COLLIDING):
            return
        self.keys_left -= 1
        if self.keys_left < 0:
            raise ValueError(f"more than {_MOST_KEYS} keys that are neither text nor small numbers")
        self._go_through(key)

    def _go_through(self, thing: Any) -> None:
        """Spend what it takes to visit all parts, those that are shared at every place again."""
        layer = [thing]
        for _ in range(_DEEPEST):
            self._spend(len(layer))
            parts = (part for whole in layer if isinstance(whole, tuple | list) for part in whole)
            layer = list(islice(parts, self.read))
            if not layer:
                return
        raise ValueError(f"things nested in each other more than {_DEEPEST} times")

    def _spend(self, things: int) -> None:
        self.spent += things
        if self.spent > self.read:
            raise ValueError("a few things that, repeated, unfold to very many")
