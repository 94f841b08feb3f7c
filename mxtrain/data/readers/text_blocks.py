"""Text tables as blocks of whole rows in UTF-8, with one kind of newline."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from mxtrain.errors import DataError

FIRST_BLOCK, BLOCK = 2**18, 2**24
"""Number of bytes of the first block, in which the format is detected, and of the others."""
_MAX_ROW = 2**23
"""Number of bytes after which a quote that was not closed no longer hides the end of a row."""
_BYTES = ("utf-8", "utf-8-sig", "ascii", "cp1252")
"""Encodings in which every newline is the byte of a newline."""
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
"""Encodings that are recognized by their first bytes."""
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"))
_BOMS_16 = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class TextBlocks:
    """Iterator over the blocks of a text, each of which ends after a row.

    A block is UTF-8, unless it has bytes that are not valid in UTF-8; then the reader of the block reports their lines.

    Args:
        stream: the bytes of the text.
        source: the name of the file in error messages.
        encoding: the name of the encoding; None detects it.
        is_fallback: True if the encoding is that of other data, to use if the text is not UTF-8 or UTF-16.

    Attributes:
        encoding: the encoding, as it was set or found so far.
        quote: the character in which newlines do not end a row; empty for none.
    """

    def __init__(self, stream: BinaryIO, source: str, encoding: str | None, is_fallback: bool = False) -> None:
        self._stream = stream
        self._source = source
        self._is_set = encoding is not None and not is_fallback
        self._fallback = encoding if is_fallback and encoding not in (*_BYTES, *_WIDE) else None
        self.encoding = encoding if self._is_set else None
        self.quote = '"'
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = b""
        self._has_lf: bool | None = None
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        size, rest, is_first = FIRST_BLOCK, b"", True
        while True:
            piece = _read_lines(self._stream, size)
            if is_first:
                piece, is_first = self._begin(piece), False
            is_last = not piece
            data = rest + self._normalize(piece, is_last)
            if is_last:
                if data:
                    yield self._to_utf8(data if data.endswith(b"\n") else data + b"\n")
                return
            end = row_end(data, self.quote.encode())
            if not end and len(data) > _MAX_ROW:
                end = data.rfind(b"\n") + 1
            if not end and len(data) > 128 * _MAX_ROW:
                raise DataError(f"{self._source}: has a line of more than 1 GiB; it is not a table")
            block, rest = data[:end], data[end:]
            if block:
                yield self._to_utf8(block)
            size = BLOCK

    def _begin(self, head: bytes) -> bytes:
        """Detect the encoding by the first bytes, and return the bytes after the byte order mark."""
        for mark, name in _BOMS + _BOMS_16:
            if head.startswith(mark) and (not self._is_set or self.encoding in (name, "utf-8-sig")):
                self.encoding = name
                head = head.removeprefix(mark) if name == "utf-8" else head
                break
        else:
            if not self._is_set and (wide := _wide_encoding(head)):
                self.encoding = wide
            elif self._fallback is not None and not _is_utf8(head):
                self.encoding = self._fallback
        if self.encoding is not None and self.encoding not in _BYTES:
            self._decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        if self._decoder is None and b"\0" in head[:65536]:
            line = head.count(b"\n", 0, head.index(b"\0")) + 1
            raise DataError(f"{self._source}:{line}: has a NUL byte; it is not a text file")
        return head

    def _normalize(self, piece: bytes, is_last: bool) -> bytes:
        """Return bytes with LF as the only newline; a CR at the end is held back, because LF may follow it.

        A CR without LF ends a line only in text without LF; otherwise it is part of a value.
        """
        if self._decoder is not None:
            try:
                piece = self._decoder.decode(piece, is_last).encode("utf-8")
            except UnicodeError as error:
                remedy = "correct data.encoding, or save it as UTF-8"
                raise DataError(f"{self._source}: is not {self.encoding} text: {error}; {remedy}") from None
        elif b"\0" in piece and piece.count(0) * 100 > len(piece):
            raise DataError(f"{self._source}: is not a text file: has NUL bytes after {self._size / 2**20:.4g} MiB")
        self._size += len(piece)
        data, self._held = self._held + piece, b""
        if data.endswith(b"\r") and not is_last:
            data, self._held = data[:-1], b"\r"
        if self._has_lf is None and data:
            self._has_lf = b"\n" in data
        if b"\r" not in data:
            return data
        data = data.replace(b"\r\n", b"\n")
        return data if self._has_lf else data.replace(b"\r", b"\n")

    def _to_utf8(self, block: bytes) -> bytes:
        if self._decoder is not None or block.isascii():
            return block
        if self.encoding is None:
            self.encoding = _byte_encoding(block)
        if self.encoding == "cp1252":
            return block.decode("cp1252", "replace").encode("utf-8")
        return block

    @property
    def found_encoding(self) -> str:
        """The encoding, `utf-8` if all bytes so far are ASCII."""
        return self.encoding or "utf-8"


def _is_utf8(text: bytes) -> bool:
    """Return True for text with characters that are not ASCII, all of which are UTF-8."""
    try:
        return not text.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False


def row_end(data: bytes, quote: bytes) -> int:
    r"""Return the offset after the last newline that is not in quotes; 0 if there is none.

    Example:
        >>> row_end(b'a,b\n1,"x\ny', b'"'), row_end(b'a,b\n1,"x\ny"\n', b'"'), row_end(b'5" x\n', b"")
        (4, 12, 5)
    """
    end = len(data)
    if not quote or quote not in data:
        return data.rfind(b"\n") + 1
    is_inside = data.count(quote) % 2 == 1
    for _ in range(10_000):
        last_quote = data.rfind(quote, 0, end)
        newline = data.rfind(b"\n", max(last_quote, 0), end)
        if not is_inside and newline >= 0:
            return newline + 1
        if last_quote < 0:
            return 0
        end, is_inside = last_quote, not is_inside
    return 0


def _read_lines(stream: BinaryIO, size: int) -> bytes:
    """Return `size` bytes and the rest of the last line, fewer only at the end of the stream."""
    piece = stream.read(size)
    return piece + stream.readline(2**26) if len(piece) == size else piece


def _wide_encoding(head: bytes) -> str | None:
    """Return the encoding of text that has a zero in every other byte, as UTF-16 without a byte order mark has."""
    sample = head[:4096]
    zeros_even, zeros_odd = sample[::2].count(0), sample[1::2].count(0)
    if len(sample) < 4 or max(zeros_even, zeros_odd) * 5 < len(sample):
        return None
    if min(zeros_even, zeros_odd) * 10 > max(zeros_even, zeros_odd):
        return None
    return "utf-16-le" if zeros_odd > zeros_even else "utf-16-be"


def _byte_encoding(block: bytes) -> str:
    """Return the encoding of text that is not ASCII: UTF-8, unless most of it is invalid in UTF-8."""
    text = block.decode("utf-8", "surrogateescape")
    if text.isascii():
        return "utf-8"
    others = [character for character in set(text) if character > "\x7f"]
    invalid = sum(text.count(character) for character in others if "\udc80" <= character <= "\udcff")
    if not invalid or invalid <= sum(map(text.count, others)) - invalid:
        return "utf-8"
    try:
        block.decode("cp1252")
    except UnicodeDecodeError:
        return "utf-8"
    return "cp1252"
