from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.log_root import (
    EMPTY_ROOT,
    LogRoot,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    leaf_text,
    tree_head,
    verify_consistency,
    verify_inclusion,
)

# The reference vectors of Certificate Transparency: leaves, tree heads of the first n leaves and proofs as
# published in github.com/transparency-dev/merkle, testonly/constants.go and testonly/reference_test.go.
REFERENCE_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_HASHES = [leaf_hash(leaf) for leaf in REFERENCE_LEAVES]
REFERENCE_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
REFERENCE_INCLUSION = {  # (index, size): proof
    (0, 1): [],
    (0, 2): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"],
    (1, 2): ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
REFERENCE_CONSISTENCY = {  # (old size, new size): proof
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}

SAMPLE: dict[str, Any] = {
    "log_id": UUID("018C2F3A-0000-7000-8000-00000000000A"),
    "epoch": 1,
    "position": 42,
    "stream_id": UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
    "stream_version": 3,
    "topic": "deal.stage_advanced",
    "recorded_at": datetime(2026, 1, 2, 4, 4, 5, 60, tzinfo=timezone(timedelta(hours=1))),
    "state": '{"meta":{},"data":{"to_stage":"招标"}}'.encode(),
}


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(f"leaf {i}".encode()) for i in range(count)]


def tree_head_by_definition(leaf_hashes: list[bytes]) -> bytes:
    if not leaf_hashes:
        return sha256(b"").digest()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    k = 1
    while k * 2 < len(leaf_hashes):
        k *= 2
    left, right = tree_head_by_definition(leaf_hashes[:k]), tree_head_by_definition(leaf_hashes[k:])
    return sha256(b"\x01" + left + right).digest()


def flipped(value: bytes, byte: int, bit: int) -> bytes:
    changed = bytearray(value)
    changed[byte % len(changed)] ^= 1 << bit
    return bytes(changed)


def test_the_leaf_text_is_this_one_for_ever() -> None:
    assert leaf_text(**SAMPLE) == (
        b"dealtrace/leaf/1\n"
        b"018c2f3a-0000-7000-8000-00000000000a\n"
        b"1\n"
        b"42\n"
        b"7c9e6679-7425-40de-944b-e07fc1f90ae7\n"
        b"3\n"
        b"deal.stage_advanced\n"
        b"2026-01-02T03:04:05.000060Z\n"
        b"f7FItBFztw9gzbo6N0FjfivY5Fn7UnYA1pk/UVnIBdI=\n"
    )
    assert (
        leaf_hash(leaf_text(**SAMPLE)).hex()
        == "37f94d3e2be59722c135e34efb871a734495fbf3aeca858d66c005373fc83a38"
    )


def test_a_whole_second_still_has_six_digits() -> None:
    text = leaf_text(**SAMPLE | {"recorded_at": datetime(2026, 1, 2, tzinfo=UTC)})
    assert b"\n2026-01-02T00:00:00.000000Z\n" in text


@pytest.mark.parametrize(
    "change",
    [
        {"log_id": UUID(int=1)},
        {"epoch": 2},
        {"position": 43},
        {"stream_id": UUID(int=1)},
        {"stream_version": 4},
        {"topic": "deal.stage_regressed"},
        {"recorded_at": datetime(2026, 1, 2, 3, 4, 5, 61, tzinfo=UTC)},
        {"state": b"{}"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_moves_the_leaf(change: dict[str, Any]) -> None:
    assert leaf_hash(leaf_text(**SAMPLE | change)) != leaf_hash(leaf_text(**SAMPLE))


@pytest.mark.parametrize(
    "change",
    [
        {"topic": "deal.won\n2026-01-02T03:04:05.000060Z"},
        {"recorded_at": datetime(2026, 1, 2)},  # noqa: DTZ001
        {"epoch": -1},
        {"position": -1},
        {"stream_version": -1},
    ],
)
def test_a_leaf_that_could_be_read_two_ways_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"one line|UTC offset|not negative"):
        leaf_text(**SAMPLE | change)


@pytest.mark.parametrize("size", range(9))
def test_tree_heads_are_those_of_the_reference(size: int) -> None:
    assert tree_head(REFERENCE_HASHES[:size]).hex() == REFERENCE_ROOTS[size]


@pytest.mark.parametrize(("index", "size"), REFERENCE_INCLUSION)
def test_inclusion_proofs_are_those_of_the_reference(index: int, size: int) -> None:
    proof = inclusion_proof(REFERENCE_HASHES[:size], index)
    assert [node.hex() for node in proof] == REFERENCE_INCLUSION[index, size]
    assert verify_inclusion(REFERENCE_HASHES[index], index, size, proof, bytes.fromhex(REFERENCE_ROOTS[size]))


@pytest.mark.parametrize(("old", "new"), REFERENCE_CONSISTENCY)
def test_consistency_proofs_are_those_of_the_reference(old: int, new: int) -> None:
    proof = consistency_proof(REFERENCE_HASHES[:new], old)
    assert [node.hex() for node in proof] == REFERENCE_CONSISTENCY[old, new]
    old_root, new_root = bytes.fromhex(REFERENCE_ROOTS[old]), bytes.fromhex(REFERENCE_ROOTS[new])
    assert verify_consistency(old, new, old_root, new_root, proof)


@given(leaves=st.lists(st.binary(max_size=20), max_size=130))
def test_the_growing_root_is_the_recursive_definition_at_every_size(leaves: list[bytes]) -> None:
    growing, hashed = LogRoot(), [leaf_hash(leaf) for leaf in leaves]
    for size, leaf in enumerate(hashed):
        assert (growing.size, growing.root()) == (size, tree_head_by_definition(hashed[:size]))
        growing.append(leaf)
    assert (growing.size, growing.root()) == (len(leaves), tree_head_by_definition(hashed))


@given(before=st.integers(0, 200), after=st.integers(0, 70))
def test_a_root_restored_from_its_frontier_goes_on_as_if_nothing_had_happened(
    before: int, after: int
) -> None:
    leaves = hashes(before + after)
    checkpoint = LogRoot()
    for leaf in leaves[:before]:
        checkpoint.append(leaf)
    restored = LogRoot.from_bytes(checkpoint.to_bytes())
    for leaf in leaves[before:]:
        restored.append(leaf)
    assert (restored.size, restored.root()) == (before + after, tree_head(leaves))


def test_the_frontier_stays_small() -> None:
    growing = LogRoot()
    for leaf in hashes(1023):
        growing.append(leaf)
    assert len(growing.to_bytes()) < 400


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b + b"\x00", lambda b: b"x" + b[1:], lambda _: b""]
)
def test_a_damaged_frontier_is_refused(damage: Callable[[bytes], bytes]) -> None:
    growing = LogRoot()
    for leaf in hashes(5):
        growing.append(leaf)
    with pytest.raises(ValueError, match="damaged"):
        LogRoot.from_bytes(damage(growing.to_bytes()))


def test_a_leaf_goes_in_by_its_hash_and_not_by_its_text() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        LogRoot().append(leaf_text(**SAMPLE))


def test_every_leaf_of_every_small_tree_is_proved_and_at_no_other_place() -> None:
    for size in range(1, 34):
        leaves = hashes(size)
        root = tree_head(leaves)
        for index in range(size):
            proof = inclusion_proof(leaves, index)
            accepted = [
                i for i in range(-1, size + 1) if verify_inclusion(leaves[index], i, size, proof, root)
            ]
            assert accepted == [index]


def test_every_prefix_of_every_small_tree_is_proved_and_at_no_other_size() -> None:
    roots = [tree_head(hashes(size)) for size in range(34)]
    for new in range(34):
        for old in range(new + 1):
            proof = consistency_proof(hashes(new), old)
            assert verify_consistency(old, new, roots[old], roots[new], proof)
            assert not any(
                verify_consistency(other, new, roots[old], roots[new], proof)
                for other in range(-1, 35)
                if other != old
            )


@given(data=st.data(), size=st.integers(1, 200), byte=st.integers(0, 31), bit=st.integers(0, 7))
def test_a_tampered_inclusion_proof_fails(data: st.DataObject, size: int, byte: int, bit: int) -> None:
    leaves = hashes(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(leaves, index), tree_head(leaves)
    assert verify_inclusion(leaves[index], index, size, proof, root)
    assert not verify_inclusion(flipped(leaves[index], byte, bit), index, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, proof, flipped(root, byte, bit))
    assert not verify_inclusion(leaves[index], index, size, [*proof, leaves[0]], root)
    for i, node in enumerate(proof):
        assert not verify_inclusion(leaves[index], index, size, proof[:i] + proof[i + 1 :], root)
        changed = [*proof[:i], flipped(node, byte, bit), *proof[i + 1 :]]
        assert not verify_inclusion(leaves[index], index, size, changed, root)


@given(data=st.data(), new=st.integers(1, 200), byte=st.integers(0, 31), bit=st.integers(0, 7))
def test_a_tampered_consistency_proof_fails(data: st.DataObject, new: int, byte: int, bit: int) -> None:
    leaves = hashes(new)
    old = data.draw(st.integers(1, new))
    proof, old_root, new_root = consistency_proof(leaves, old), tree_head(leaves[:old]), tree_head(leaves)
    assert verify_consistency(old, new, old_root, new_root, proof)
    assert not verify_consistency(old, new, flipped(old_root, byte, bit), new_root, proof)
    assert not verify_consistency(old, new, old_root, flipped(new_root, byte, bit), proof)
    assert not verify_consistency(old, new, old_root, new_root, [*proof, leaves[0]])
    for i, node in enumerate(proof):
        assert not verify_consistency(old, new, old_root, new_root, proof[:i] + proof[i + 1 :])
        changed = [*proof[:i], flipped(node, byte, bit), *proof[i + 1 :]]
        assert not verify_consistency(old, new, old_root, new_root, changed)


@given(size=st.integers(2, 120), data=st.data())
def test_a_log_with_a_rewritten_leaf_can_not_be_passed_off_as_a_continuation(
    size: int, data: st.DataObject
) -> None:
    leaves = hashes(size)
    old = data.draw(st.integers(1, size - 1))
    rewritten = list(leaves)
    rewritten[data.draw(st.integers(0, old - 1))] = leaf_hash(b"another past")
    proof = consistency_proof(rewritten, old)
    assert not verify_consistency(old, size, tree_head(leaves[:old]), tree_head(rewritten), proof)


def test_the_bytes_of_a_node_cut_at_another_place_prove_nothing() -> None:
    left, right = hashes(2)
    root, both = tree_head([left, right]), left + right
    for cut in (0, 16, 31, 33, 48, 64):
        assert not verify_inclusion(both[:cut], 0, 2, [both[cut:]], root)
        assert not verify_consistency(1, 2, both[:cut], root, [both[cut:]])


def test_every_log_continues_the_empty_one() -> None:
    assert consistency_proof(hashes(3), 0) == []
    assert verify_consistency(0, 3, EMPTY_ROOT, tree_head(hashes(3)), [])
    assert not verify_consistency(0, 3, tree_head(hashes(1)), tree_head(hashes(3)), [])
    assert not verify_consistency(0, 0, EMPTY_ROOT, tree_head(hashes(1)), [])


@pytest.mark.parametrize("index", [-1, 3])
def test_a_leaf_outside_the_log_has_no_proof(index: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(hashes(3), index)


@pytest.mark.parametrize("size", [-1, 4])
def test_a_size_outside_the_log_has_no_proof(size: int) -> None:
    with pytest.raises(ValueError, match="leaves among"):
        consistency_proof(hashes(3), size)


def test_an_absurd_size_is_answered_and_not_computed_for_ever() -> None:
    assert not verify_inclusion(hashes(1)[0], 5, 2**4000, hashes(3), EMPTY_ROOT)
    assert not verify_consistency(5, 2**4000, EMPTY_ROOT, EMPTY_ROOT, hashes(3))
