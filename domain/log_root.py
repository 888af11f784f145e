"""The log root: one hash that stands for every event of the log, and the proofs that auditors check by it.

The tree, its hashes and its proofs are those of RFC 6962 section 2.1 with SHA-256. Leaf i of the tree,
counted from 0, is the event at position i + 1.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Self
from uuid import UUID

from msgspec import to_builtins

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
FRONTIER_HEADER = b"dealtrace/frontier/1\n"


def leaf_text(
    *,
    log_id: UUID,
    epoch: int,
    position: int,
    stream_id: UUID,
    stream_version: int,
    topic: str,
    recorded_at: datetime,
    state: bytes,
) -> bytes:
    r"""The bytes of one event that the log root commits to.

    UTF-8 text of nine lines, each ended by "\n" (the last one too): `dealtrace/leaf/1`, log id, epoch,
    position, stream id, stream version, topic, recorded_at, SHA-256 of `state`. Ids are lower-case with
    hyphens, numbers decimal without leading zeros, `recorded_at` is RFC 3339 in UTC with six digits of
    fraction and `Z`, the hash is base64 of the standard alphabet with padding. `state` is the stored column,
    byte for byte.

    Raises ValueError for a time without an offset, a negative number or a topic with a line break in it.
    """
    if recorded_at.utcoffset() is None:
        raise ValueError("recorded_at needs a UTC offset")
    if epoch < 0 or position < 0 or stream_version < 0:
        raise ValueError("epoch, position and stream version are not negative")
    if "\n" in topic:
        raise ValueError("a topic is one line")
    digest = b64encode(sha256(state).digest()).decode("ascii")
    return (
        f"dealtrace/leaf/1\n{to_builtins(log_id)}\n{epoch}\n{position}\n{to_builtins(stream_id)}\n{stream_version}\n"
        f"{topic}\n{_spelled(recorded_at)}\n{digest}\n"
    ).encode()


def _spelled(moment: datetime) -> str:
    """RFC 3339 in UTC with six digits of fraction; this and ids by msgspec, which is five times as quick."""
    utc = moment.astimezone(UTC)
    text: str = to_builtins(utc)
    return text if utc.microsecond else f"{text[:-1]}.000000Z"


def leaf_hash(leaf: bytes) -> bytes:
    """The 32-byte hash of a leaf's text: SHA-256(0x00 || leaf)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of two subtrees: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class LogRoot:
    """The tree head of a growing log: leaves go in one by one, only the roots of complete subtrees are kept.

    That frontier is one hash for each binary one in `size`, from the largest subtree to the smallest.
    """

    __slots__ = ("_frontier", "size")

    def __init__(self) -> None:
        self.size = 0
        self._frontier: list[bytes] = []

    def append(self, hashed_leaf: bytes) -> None:
        """Add the next leaf by its hash. Raises ValueError for anything but 32 bytes."""
        if len(hashed_leaf) != HASH_SIZE:
            raise ValueError(f"a leaf hash has {HASH_SIZE} bytes, not {len(hashed_leaf)}")
        subtree, full = hashed_leaf, self.size
        while full & 1:  # the carry of adding one to the size, in binary
            subtree = node_hash(self._frontier.pop(), subtree)
            full >>= 1
        self._frontier.append(subtree)
        self.size += 1

    def root(self) -> bytes:
        """The tree head over all leaves so far; SHA-256 of nothing for an empty log."""
        if not self._frontier:
            return EMPTY_ROOT
        *larger, root = self._frontier
        for subtree in reversed(larger):
            root = node_hash(subtree, root)
        return root

    def to_bytes(self) -> bytes:
        """The frontier, to go on from later: header line, size as 8 bytes big-endian, then the hashes."""
        return FRONTIER_HEADER + self.size.to_bytes(8, "big") + b"".join(self._frontier)

    @classmethod
    def from_bytes(cls, frontier: bytes) -> Self:
        """Restore what `to_bytes` gave. Raises ValueError for anything else.

        Wrong hashes of the right length cannot be noticed here: compare `root()` with a root you trust.
        """
        header, body = frontier[: len(FRONTIER_HEADER)], frontier[len(FRONTIER_HEADER) :]
        size, hashes = int.from_bytes(body[:8], "big"), body[8:]
        if header != FRONTIER_HEADER or len(body) < 8 or len(hashes) != HASH_SIZE * size.bit_count():
            raise ValueError("not a frontier of a log root, or a damaged one")
        restored = cls()
        restored.size = size
        restored._frontier = [hashes[i : i + HASH_SIZE] for i in range(0, len(hashes), HASH_SIZE)]
        return restored


def tree_head(leaf_hashes: Sequence[bytes]) -> bytes:
    """The tree head over these leaf hashes, MTH(D[n]) of RFC 6962 section 2.1."""
    return _subtree(leaf_hashes, 0, len(leaf_hashes))


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Proof that leaf `index` (from 0) is in the tree over `leaf_hashes`.

    PATH(m, D[n]) of RFC 6962 section 2.1.1: the hashes beside the way from the leaf up to the root. Hashes
    the whole log once. Raises ValueError for an index outside it.
    """
    if not 0 <= index < len(leaf_hashes):
        raise ValueError(f"there is no leaf {index} among {len(leaf_hashes)}")
    proof = []
    start, end = 0, len(leaf_hashes)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_subtree(leaf_hashes, middle, end))
            end = middle
        else:
            proof.append(_subtree(leaf_hashes, start, middle))
            start = middle
    return proof[::-1]


def verify_inclusion(hashed_leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `hashed_leaf` is leaf `index` (from 0) of the tree of this size and root.

    `size` and `root` are to be trusted together (from one checkpoint): a proof does not bind the size by
    itself.
    """
    if not 0 <= index < size or not _all_hashes([hashed_leaf, *proof]):
        return False
    beside_is_left = []
    while size > 1:
        split = _split(size)
        beside_is_left.append(index >= split)
        index, size = (index - split, size - split) if index >= split else (index, split)
    if len(proof) != len(beside_is_left):
        return False
    computed = hashed_leaf
    for beside, is_left in zip(proof, reversed(beside_is_left), strict=True):
        computed = node_hash(beside, computed) if is_left else node_hash(computed, beside)
    return computed == root


def consistency_proof(leaf_hashes: Sequence[bytes], size: int) -> list[bytes]:
    """Proof that the tree over the first `size` leaves was only appended to since.

    PROOF(m, D[n]) of RFC 6962 section 2.1.2. Empty for equal sizes, and for size 0, which RFC 6962 leaves
    open: every log begins as the empty one. Raises ValueError for a size beyond the leaves.
    """
    if not 0 <= size <= len(leaf_hashes):
        raise ValueError(f"there are no {size} leaves among {len(leaf_hashes)}")
    if size == 0:
        return []
    proof = []
    start, end = 0, len(leaf_hashes)
    while end != size:
        middle = start + _split(end - start)
        if size <= middle:
            proof.append(_subtree(leaf_hashes, middle, end))
            end = middle
        else:
            proof.append(_subtree(leaf_hashes, start, middle))
            start = middle
    if start > 0:  # else the subtree reached is the old tree itself, whose root the verifier holds
        proof.append(_subtree(leaf_hashes, start, end))
    return proof[::-1]


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether `proof` shows that the log of `new_size` leaves begins with the log of `old_size` leaves.

    From size 0 there is nothing to prove, and nothing is said about `new_root`.
    """
    if not 0 <= old_size <= new_size or not _all_hashes([old_root, new_root, *proof]):
        return False
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT and (new_size > 0 or new_root == EMPTY_ROOT)
    beside_in_both = []
    old, new = old_size, new_size
    while old != new:
        split = _split(new)
        beside_in_both.append(old > split)
        old, new = (old - split, new - split) if old > split else (old, split)
    hashes = list(proof) if any(beside_in_both) else [old_root, *proof]
    if len(hashes) != len(beside_in_both) + 1:
        return False
    computed_old = computed_new = hashes[0]
    for beside, in_both in zip(hashes[1:], reversed(beside_in_both), strict=True):
        if in_both:
            computed_old, computed_new = node_hash(beside, computed_old), node_hash(beside, computed_new)
        else:
            computed_new = node_hash(computed_new, beside)
    return computed_old == old_root and computed_new == new_root


def _split(size: int) -> int:
    """The largest power of two below `size` (2 or more): how many leaves the left subtree has."""
    return 1 << ((size - 1).bit_length() - 1)


def _subtree(leaf_hashes: Sequence[bytes], start: int, end: int) -> bytes:
    tree = LogRoot()
    for index in range(start, end):
        tree.append(leaf_hashes[index])
    return tree.root()


def _all_hashes(values: Sequence[bytes]) -> bool:
    return all(len(value) == HASH_SIZE for value in values)
