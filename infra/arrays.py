"""Many ids as one parameter of a statement, written out at once instead of one by one."""

from collections.abc import Iterable
from struct import pack

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_UUID, _UUID_ARRAY = 2950, 2951
_SIXTEEN = pack(">i", 16)


class UuidArray:
    """A `uuid[]` of ids that are given as 16 bytes each."""

    def __init__(self, ids: Iterable[bytes]) -> None:
        elements = [_SIXTEEN + one for one in ids]
        dimensions = pack(">ii", len(elements), 1) if elements else b""
        self.data = pack(">iii", bool(elements), 0, _UUID) + dimensions + b"".join(elements)


class _UuidArrayDumper(Dumper):
    format = Format.BINARY
    oid = _UUID_ARRAY

    def dump(self, obj: UuidArray) -> Buffer:
        return obj.data


psycopg.adapters.register_dumper(UuidArray, _UuidArrayDumper)
