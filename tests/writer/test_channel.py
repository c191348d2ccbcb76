"""Values between two processes: whole, in their order, and without anybody waiting for the other side."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from gitreg.writer.channel import Outbox, packed, receive

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, Outbox]]:
    read, write = os.pipe()
    outbox = Outbox(os.fdopen(write, "wb"), "test")
    with os.fdopen(read, "rb") as file:
        yield file, outbox
    outbox.close()


def test_values_arrive_in_their_order_however_large_they_are(pipe: tuple[BinaryIO, Outbox]) -> None:
    file, outbox = pipe
    values = ["a", b"x" * 3_000_000, "b", b"y" * 100_000, *range(2_000)]
    for each in values:
        outbox.put(packed(each))  # much more than a pipe takes while nobody reads
    found: list[Any] = [receive(file) for _ in values]
    assert found == values


def test_several_threads_may_say_something(pipe: tuple[BinaryIO, Outbox]) -> None:
    file, outbox = pipe

    def say(who: int) -> None:
        for number in range(200):
            outbox.put(packed((who, number, b"." * 1_000)))

    threads = [threading.Thread(target=say, args=(who,)) for who in range(4)]
    for each in threads:
        each.start()
    found = [receive(file)[:2] for _ in range(800)]
    for each in threads:
        each.join()
    assert sorted(found) == [(who, number) for who in range(4) for number in range(200)]
    assert all([number for whose, number in found if whose == who] == list(range(200)) for who in range(4))


def test_what_was_said_is_sent_before_the_end(pipe: tuple[BinaryIO, Outbox]) -> None:
    file, outbox = pipe
    outbox.put(packed(b"x" * 1_000_000))
    closing = threading.Thread(target=outbox.close)
    closing.start()
    assert receive(file) == b"x" * 1_000_000
    with pytest.raises(EOFError):
        receive(file)
    closing.join()
    outbox.put(packed("too late"))


def test_nobody_fails_where_the_other_side_is_gone(pipe: tuple[BinaryIO, Outbox]) -> None:
    file, outbox = pipe
    file.close()
    for _ in range(3):
        outbox.put(packed(b"x" * 100_000))
    outbox.close()
