"""Keys go where Kafka's own clients would put them."""

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from tierwise.stream.outgoing import by_partition
from tierwise.stream.partitioner import murmur2_of_many, partitions_of
from tierwise.stream.port import Outgoing


@pytest.mark.parametrize(
    ("key", "expected"),
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536),
     (b"a-little-bit-longer-string", -1486304829),
     (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971), (b"abc", 479470107)],
)  # fmt: skip
def test_partitions_follow_the_hashes_that_kafka_publishes(key: bytes, expected: int) -> None:
    assert partitions_of([key], 1_000) == [(expected & 0x7FFFFFFF) % 1_000]


@given(st.integers(0, 20).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1)))
def test_many_keys_of_one_length_hash_as_each_one_alone(keys: list[bytes]) -> None:
    assert murmur2_of_many(keys).tolist() == [murmur2(key) for key in keys]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 1_024))
def test_keys_of_any_length_go_to_the_partition_of_their_hash(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count) == [(murmur2(key) & 0x7FFFFFFF) % count for key in keys]


def test_a_chosen_partition_outweighs_the_key_and_must_exist() -> None:
    grouped = by_partition([Outgoing(b"k", b"1", partition=3), Outgoing(b"k", b"2", partition=3)], 4)
    assert [record.value for record in grouped[3]] == [b"1", b"2"]
    with pytest.raises(ValueError, match="0 to 3"):
        by_partition([Outgoing(b"k", b"1", partition=4)], 4)
