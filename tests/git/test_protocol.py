from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.git.protocol import MAX_COMMANDS, Commands, MalformedError, Packets, Report

A, B = "a" * 40, "b" * 40
MAIN = "refs/heads/main"


def packet(text: str | bytes) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    return b"%04x%s" % (len(data) + 4, data)


def commands(*lines: str | bytes, end: bytes = b"0000") -> Commands:
    found = Commands()
    found.feed(b"".join(map(packet, lines)) + end)
    return found


def test_updates_are_read_up_to_the_flush_and_nothing_behind_it() -> None:
    found = commands(f"{A} {B} {MAIN}\0report-status side-band-64k\n", f"{B} {A} refs/heads/x", end=b"0000PACKzzzz")

    assert found.updates == [(A, B, MAIN), (B, A, "refs/heads/x")]
    assert found.is_whole
    assert found.has_side_band
    found.feed(b"zzzz")
    assert len(found.updates) == 2


def test_lines_that_are_no_updates_are_git_s_business() -> None:
    found = commands(f"shallow {A}", "push-cert\0report-status", f"{A} {B} {MAIN}\n", f"{A} {B}", f"{A[:39]}g {B} x")

    assert found.updates == [(A, B, MAIN)]
    assert not found.has_side_band


def test_names_that_are_no_text_are_kept_readable() -> None:
    assert commands(b"%s %s refs/heads/\xff\x1b" % (A.encode(), B.encode())).updates == [
        (A, B, "refs/heads/\ufffd\x1b")
    ]


@pytest.mark.parametrize("junk", [b"zzzz", b"0001", b"0003", b"+123", b"fff1", b"ffff", b" 123", b"12_3"])
def test_what_is_no_packet_is_an_error(junk: bytes) -> None:
    with pytest.raises(MalformedError, match="a packet of length"):
        commands(f"{A} {B} {MAIN}", end=junk)


def test_ref_updates_are_bounded() -> None:
    line = f"{A} {B} refs/heads/{'x' * 1000}"
    found = Commands()
    found.feed(packet(line) * (MAX_COMMANDS // len(line)))
    with pytest.raises(MalformedError, match="more than 2 MiB"):
        found.feed(packet(line))


@given(st.lists(st.integers(1, 40), min_size=1))
def test_it_does_not_matter_in_which_pieces_it_comes(cuts: list[int]) -> None:
    data = b"".join([packet(f"{A} {B} {MAIN}\0report-status"), packet(f"{B} {A} refs/heads/x"), b"0000PACK"])
    whole, pieces = Commands(), Commands()
    whole.feed(data)
    at = 0
    for cut in cuts:
        pieces.feed(data[at : at + cut])
        at += cut
    pieces.feed(data[at:])

    assert pieces.updates == whole.updates
    assert pieces.is_whole


@given(st.lists(st.one_of(st.none(), st.binary(max_size=300))), st.integers(1, 50))
def test_packets_come_out_as_they_went_in(parts: list[bytes | None], step: int) -> None:
    data = b"".join(b"0000" if part is None else packet(part) for part in parts)
    packets = Packets()

    found = [each for at in range(0, len(data), step) for each in packets.feed(data[at : at + step])]

    assert found == parts
    assert packets.rest == b""


def report(*answer: bytes, bands: bool = True) -> Report:
    asked = commands(f"{A} {B} {MAIN}\0report-status{' side-band-64k' if bands else ''}")
    found = Report(asked)
    found.feed(packet(f"{A} {MAIN}\0report-status") + b"0000" + b"".join(answer))
    return found


def test_a_report_in_bands_is_read() -> None:
    inner = packet("unpack ok\n") + packet(f"ng {MAIN} pre-receive hook declined\n") + packet("ok refs/heads/x\n")

    found = report(
        packet(b"\2error: bad\n"), packet(b"\2"), packet(b"\1" + inner[:9]), packet(b"\1" + inner[9:]), b"0000"
    )

    assert found.unpacked == "ok"
    assert found.rejected == {MAIN: "pre-receive hook declined"}
    assert found.said == "error: bad\n"


def test_a_report_without_bands_is_read() -> None:
    found = report(packet("unpack unpack-objects abnormal exit\n"), packet(f"ng {MAIN} unpacker error\n"), bands=False)

    assert found.unpacked == "unpack-objects abnormal exit"
    assert found.rejected == {MAIN: "unpacker error"}


def test_what_the_server_says_is_bounded() -> None:
    found = report(*(packet(b"\2" + b"x" * 5000) for _ in range(10)), packet(b"\2error: the end"))

    assert len(found.said) == 8192
    assert found.said.endswith("error: the end")
    many = report(*(packet(b"\1" + packet(f"ng refs/heads/{number} {'x' * 5000}")) for number in range(1200)))
    assert len(many.rejected) == 1000
    assert max(map(len, many.rejected.values())) < 500


def test_a_server_that_is_not_understood_is_left_alone() -> None:
    found = report(b"zzzz", packet(b"\1" + packet("unpack ok")))

    assert found.unpacked is None
