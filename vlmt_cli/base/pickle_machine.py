"""A machine for pickles of plain data: it imports nothing, and checks every length before it reads.

A pickle is a program for a small machine, which may import any function, call it, and ask for any amount of memory.
This one knows lists, dicts, texts, numbers and numpy's arrays of them, in the protocols 0 to 5 and as Python 2 wrote
them, and gives up on what plain data never asks for.
"""

import codecs
import pickle as opcodes
import struct
import warnings
from typing import Any

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.pickled_names import HARMLESS, NAMES, Dtype, Name, Unfilled
from vlmt_cli.base.words import printable

# A step takes about 90 bytes at most: these limits keep a whole pickle under a GB over its own size. A sentence of a
# file of references takes 34 to 49 steps, as counted in the synthetic world's, so that 200,000 and more are read.
_MOST_STEPS, _MOST_CONTAINERS = 10_000_000, 2_500_000
_MOST_MARKS = 1_000
_LONGEST_NUMBER = 32  # digits
_LONGEST_INTEGER = 9  # bytes: an unsigned integer of 64 bits has a ninth for its sign
_NEWEST = 5


def run(data: bytes, where: object) -> Any:
    """Run a pickle, and return the value that it leaves; ``where`` names it in errors.

    Raises:
        DataError: it asks to import a name that is not one of plain data's.
        ValueError, LookupError, TypeError, struct.error, MemoryError: whatever its bytes run into.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    push, pop, index = stack.append, stack.pop, data.index
    at, containers, most_memo = 0, 0, len(data)

    for _ in range(_MOST_STEPS):
        op = data[at]
        at += 1
        if op == _BINGET:
            push(_filled(memo[data[at]]))
            at += 1
        elif op == _BINPUT:
            memo[data[at]] = stack[-1]
            at += 1
        elif op == _PUT:
            end = index(b"\n", at, at + _LONGEST_NUMBER)
            number = int(data[at:end])
            if not 0 <= number <= most_memo:
                raise ValueError(f"it remembers its value number {number}, and has no such number of values")
            memo[number] = stack[-1]
            at = end + 1
        elif op == _STRING:
            end = index(b"\n", at)
            text = data[at:end].strip()
            if len(text) < 2 or text[0] != text[-1] or text[0] not in b"'\"":
                raise ValueError("a text without quotes")
            push(_unescaped(text[1:-1]))
            at = end + 1
        elif op == _APPEND:
            item = pop()
            _list(stack[-1]).append(item)
        elif op == _SETITEM:
            item, key = pop(), pop()
            _dict(stack[-1])[_key(key)] = item
        elif op in _COUNTED:
            size, form, decode = _COUNTED[op]
            start = at + size
            (length,) = form.unpack_from(data, at)
            at = start + length
            if not start <= at <= len(data):
                raise ValueError(f"a text of {length:,} bytes, where {len(data) - start:,} are left")
            text = data[start:at]
            push(decode(text) if decode else text)
        elif op == _MEMOIZE:
            memo[len(memo)] = stack[-1]
        elif op == _MARK:
            if len(marks) == _MOST_MARKS:
                raise ValueError("it is nested too deeply")
            marks.append(len(stack))
        elif op in _NUMBERS:
            form = _NUMBERS[op]
            push(form.unpack_from(data, at)[0])
            at += form.size
        elif op in (_LONG_BINPUT, _LONG_BINGET):
            (number,) = _UINT32.unpack_from(data, at)
            at += 4
            if op == _LONG_BINGET:
                push(_filled(memo[number]))
            elif number > most_memo:
                raise ValueError(f"it remembers its value number {number}, and has no such number of values")
            else:
                memo[number] = stack[-1]
        elif op == _GET:
            end = index(b"\n", at, at + _LONGEST_NUMBER)
            push(_filled(memo[int(data[at:end])]))
            at = end + 1
        elif op in (_EMPTY_LIST, _EMPTY_DICT):
            containers += 1
            push([] if op == _EMPTY_LIST else {})
        elif op in _TO_MARK:
            first = marks.pop()
            items = stack[first:]
            if first > len(stack):
                raise ValueError("a mark beyond its values")
            del stack[first:]
            if op == _APPENDS:
                _list(stack[-1]).extend(items)
            elif op == _SETITEMS:
                _set_items(_dict(stack[-1]), items)
            elif op != _POP_MARK:
                containers += 1
                push(tuple(items) if op == _TUPLE else items if op == _LIST else _set_items({}, items))
        elif op in _TUPLES:
            containers += 1
            first = len(stack) - _TUPLES[op]
            if first < 0:
                raise ValueError("a tuple of more than there is")
            items = stack[first:]
            del stack[first:]
            push(tuple(items))
        elif op in _CONSTANTS:
            push(_CONSTANTS[op])
        elif op in (_INT, _LONG, _FLOAT):
            end = index(b"\n", at, at + _LONGEST_NUMBER)
            text = data[at:end].strip().removesuffix(b"L" if op == _LONG else b"")
            push(float(text) if op == _FLOAT else _TRUTHS[text] if op == _INT and text in _TRUTHS else int(text))
            at = end + 1
        elif op in (_LONG1, _LONG4):
            length, at = (data[at], at + 1) if op == _LONG1 else (_UINT32.unpack_from(data, at)[0], at + 4)
            if length > min(_LONGEST_INTEGER, len(data) - at):
                raise ValueError(f"an integer of {length:,} bytes")
            push(int.from_bytes(data[at : at + length], "little", signed=True))
            at += length
        elif op == _UNICODE:
            end = index(b"\n", at)
            push(_paired(data[at:end].decode("raw-unicode-escape")))
            at = end + 1
        elif op in (_GLOBAL, _INST):
            middle = index(b"\n", at)
            end = index(b"\n", middle + 1)
            name = _named(data[at:middle].decode(), data[middle + 1 : end].decode(), where)
            at = end + 1
            if op == _INST:
                raise ValueError(f"an object of {name.full}")
            push(name)
        elif op == _STACK_GLOBAL:
            name, module = pop(), pop()
            push(_named(module, name, where))
        elif op == _REDUCE:
            arguments, function = pop(), pop()
            if not isinstance(function, Name) or function.call is None or not isinstance(arguments, tuple):
                raise ValueError("it calls what is not a function")
            containers += 1
            push(function.call(*arguments))
        elif op == _BUILD:
            state, unset = pop(), pop()
            if not isinstance(unset, (Dtype, Unfilled)):
                raise ValueError("it sets the state of what has none")
            push(unset.set(state))
        elif op == _PROTO:
            if data[at] > _NEWEST:
                raise ValueError(f"protocol {data[at]}")
            at += 1
        elif op == _FRAME:
            (length,) = _UINT64.unpack_from(data, at)
            at += 8
            if length > len(data) - at:
                raise ValueError(f"a frame of {length:,} bytes, where {len(data) - at:,} are left")
        elif op == _STOP:
            return pop()
        elif op == _POP:
            containers += 1  # plain data is not made to be thrown away
            if marks and marks[-1] == len(stack):
                marks.pop()
            else:
                pop()
        elif op == _DUP:
            containers += 1
            push(stack[-1])
        else:
            raise ValueError(_REFUSED.get(op) or f"instruction {op:#04x} at byte {at - 1:,}")
        if containers > _MOST_CONTAINERS:
            raise ValueError(f"more than {_MOST_CONTAINERS:,} lists, dicts, tuples and calls")
    raise ValueError(f"more than {_MOST_STEPS:,} steps")


def _named(module: Any, name: Any, where: object) -> Name:
    """Return what stands for a name that the pickle imports."""
    full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
    if known := NAMES.get(full):
        return known
    if full.startswith(HARMLESS):
        todo = "save it again as lists, dicts, texts, numbers and arrays"
        raise DataError(
            f"the pickle holds an object of {printable(full)}, which is not read here", where=where, todo=todo
        )
    raise DataError(
        f"the pickle asks to import {printable(full)}, which plain data never needs; nothing was run",
        where=where,
        todo="do not trust where it came from; download the official file again",
    )


def _filled(value: Any) -> Any:
    """Return an array that was named before it was filled."""
    return value.made if type(value) is Unfilled else value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError("it appends to what is not a list")
    return value


def _dict(value: Any) -> dict[Any, Any]:
    if type(value) is not dict:
        raise ValueError("it sets an item of what is not a dict")
    return value


def _key(key: Any) -> Any:
    """Check a dict's key: others than these can take for ever to hash."""
    if type(key) not in (str, int, bytes, bool):
        raise ValueError(f"a dict with a {type(key).__name__} as key")
    return key


def _set_items(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(key)] = value
    return target


def _unescaped(text: bytes) -> str:
    """Decode a text of protocol 0, which Python 2 wrote."""
    if b"\\" in text:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that do not exist
            text = codecs.escape_decode(text)[0]
    return text.decode("latin1")


def _latin1(text: bytes) -> str:
    return text.decode("latin1")


def _unicode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return _paired(text.decode(errors="surrogatepass"))


def _paired(text: str) -> str:
    """Put pairs of surrogates together, as some builds of Python 2 wrote them; a lone one is replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _op(name: str) -> int:
    return ord(getattr(opcodes, name))


_STOP, _MARK, _POP, _DUP, _PROTO, _FRAME = map(_op, ("STOP", "MARK", "POP", "DUP", "PROTO", "FRAME"))
_GET, _BINGET, _LONG_BINGET = map(_op, ("GET", "BINGET", "LONG_BINGET"))
_PUT, _BINPUT, _LONG_BINPUT, _MEMOIZE = map(_op, ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_STRING, _UNICODE, _INT, _LONG, _FLOAT = map(_op, ("STRING", "UNICODE", "INT", "LONG", "FLOAT"))
_LONG1, _LONG4 = map(_op, ("LONG1", "LONG4"))
_EMPTY_LIST, _EMPTY_DICT, _APPEND, _SETITEM = map(_op, ("EMPTY_LIST", "EMPTY_DICT", "APPEND", "SETITEM"))
_APPENDS, _SETITEMS, _LIST, _DICT, _TUPLE, _POP_MARK = map(
    _op, ("APPENDS", "SETITEMS", "LIST", "DICT", "TUPLE", "POP_MARK")
)
_GLOBAL, _STACK_GLOBAL, _INST, _REDUCE, _BUILD = map(_op, ("GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "BUILD"))

_UINT8, _UINT32, _UINT64 = struct.Struct("<B"), struct.Struct("<I"), struct.Struct("<Q")
# Texts and bytes that say their length first, how it is written, and how they are read.
_COUNTED: dict[int, tuple[int, struct.Struct, Any]] = {
    _op(name): (form.size, form, decode)
    for name, form, decode in (
        ("BINUNICODE", _UINT32, _unicode),
        ("SHORT_BINUNICODE", _UINT8, _unicode),
        ("BINUNICODE8", _UINT64, _unicode),
        ("BINSTRING", _UINT32, _latin1),
        ("SHORT_BINSTRING", _UINT8, _latin1),
        ("BINBYTES", _UINT32, None),
        ("SHORT_BINBYTES", _UINT8, None),
        ("BINBYTES8", _UINT64, None),
        ("BYTEARRAY8", _UINT64, None),
    )
}
_NUMBERS = {
    _op(name): struct.Struct(form)
    for name, form in (("BININT", "<i"), ("BININT1", "<B"), ("BININT2", "<H"), ("BINFLOAT", ">d"))
}
_CONSTANTS = {_op("NONE"): None, _op("NEWTRUE"): True, _op("NEWFALSE"): False, _op("EMPTY_TUPLE"): ()}
_TRUTHS = {b"00": False, b"01": True}
_TO_MARK = frozenset((_APPENDS, _SETITEMS, _LIST, _DICT, _TUPLE, _POP_MARK))
_TUPLES = {_op("TUPLE1"): 1, _op("TUPLE2"): 2, _op("TUPLE3"): 3}
_REFUSED = {
    _op("PERSID"): "it refers to objects outside itself",
    _op("BINPERSID"): "it refers to objects outside itself",
    **{_op(name): "an object of a class" for name in ("OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")},
    **{_op(name): "a set, which plain data does not need" for name in ("EMPTY_SET", "ADDITEMS", "FROZENSET")},
}
