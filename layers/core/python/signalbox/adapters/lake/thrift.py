"""The part of Thrift's compact protocol needed to check Parquet files: whole numbers, lists and structs; the rest is skipped.

Data that Arrow might read differently is refused: an id or number with more bits than Arrow keeps, and a field that occurs twice.
Format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_MAX_FIELD: Final = 2**15 - 1  # Thrift keeps 16 bits of a field id, so that 65538 would be read as field 2
_INT32: Final = range(-(2**31), 2**31)
_DEPTH: Final = 8  # deepest nesting of structs; a footer has six levels, a page header two
_TRUE, _FALSE, _BYTE, _I16, I32, _I64, _DOUBLE, _BINARY, LIST, _SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12


class UnfitParquetError(ValueError):
    """The file declares more than the limits allow, or is not a Parquet file."""


class ThriftReader:
    """Reads one struct after another. Every method raises UnfitParquetError, and IndexError at the end of the data."""

    def __init__(self, part: memoryview, what: str, items: int = 100) -> None:
        """Read from `part`. what: what the data should be, for error messages. items: the most elements of all lists together."""
        self._part = part.cast("B")  # Arrow presents the bytes of a buffer as signed
        self._what = what
        self._items = items
        self.place = 0
        self._depth = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield the field id and kind of each member of a struct. The caller must read or skip a member before the next one."""
        self._depth += 1
        if self._depth > _DEPTH:
            raise UnfitParquetError(f"expected {self._what}, but its structs are nested more than {_DEPTH} deep")
        seen: set[int] = set()
        field = 0
        while head := self._byte():
            kind, step = head & 0x0F, head >> 4
            field = field + step if step else self._zigzag()
            if not 1 <= field <= _MAX_FIELD or field in seen:
                raise UnfitParquetError(f"expected {self._what} of fields 1 to {_MAX_FIELD}, each once, got one with {field}")
            seen.add(field)
            yield field, kind
        self._depth -= 1

    def items(self, kind: int) -> Iterator[int]:
        """Yield the kind of each element of a list. The caller must read each element."""
        if kind != LIST:
            raise UnfitParquetError(f"expected a list, got a field of kind {kind}")
        head = self._byte()
        size, inner = head >> 4, head & 0x0F
        size = self._varint() if size == 15 else size
        self._items -= size
        if self._items < 0:  # an element of one byte becomes an object of a kilobyte
            raise UnfitParquetError(f"expected {self._what}, but its lists have too many elements")
        for _ in range(size):
            yield inner

    def numbers(self) -> dict[int, int]:
        """Return the int32 members of a struct by field id; other members are skipped."""
        found: dict[int, int] = {}
        for field, kind in self.fields():
            if kind == I32:  # Arrow ignores numbers of other kinds here
                found[field] = self.int32()
            else:
                self.skip(kind)
        return found

    def int32(self) -> int:
        """Return a whole number of 32 bits."""
        number = self._zigzag()
        if number not in _INT32:
            raise UnfitParquetError(f"expected {self._what}, but a number in it has more than 32 bits")
        return number

    def whole_numbers(self, kind: int) -> list[int]:
        """Return a list of whole numbers."""
        found = []
        for inner in self.items(kind):
            if inner != _I64:
                raise UnfitParquetError(f"expected a list of whole numbers, got one of kind {inner}")
            found.append(self._zigzag())
        return found

    def skip(self, kind: int, *, in_list: bool = False) -> None:
        """Skip a value."""
        if kind in {_TRUE, _FALSE}:
            self.place += int(in_list)  # outside a list a boolean is part of the field's head
        elif kind in {_I16, I32, _I64}:
            self._varint()
        elif kind in {_BYTE, _DOUBLE}:
            self.place += 1 if kind == _BYTE else 8
        elif kind == _BINARY:
            length = self._varint()
            self.place += length
        elif kind in {LIST, _SET} and not in_list:
            for inner in self.items(LIST):
                self.skip(inner, in_list=True)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
        else:  # no part of a Parquet file has maps or lists of lists, and those could be nested until the stack overflows
            raise UnfitParquetError(f"expected {self._what}, got a field of kind {kind}")
        if self.place > len(self._part):
            raise IndexError

    def _byte(self) -> int:
        byte = self._part[self.place]
        self.place += 1
        return byte

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return number
        raise UnfitParquetError(f"expected {self._what}, but a number in it does not end within 10 bytes")

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
