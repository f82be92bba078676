"""Bounded decompression of HTTP bodies."""

import zlib


def decompress(body: bytes, encoding: str, most: int, *, whole: bool = False) -> bytes | None:
    """Return the first `most` bytes of a body with this Content-Encoding; None if it cannot be decoded.

    Without an encoding, and with `identity`, the body is returned as it is. Of a body that breaks off, the part before
    the break is returned; with `whole`, None.
    """
    for coding in reversed([name for part in encoding.lower().split(",") if (name := part.strip())]):
        if coding == "identity":
            continue
        decoded = _inflate(body, coding, most, whole) if coding in ("gzip", "x-gzip", "deflate") else None
        if decoded is None:
            return None
        body = decoded
    return body[:most]


def _inflate(body: bytes, coding: str, most: int, whole: bool) -> bytes | None:
    """Decompress gzip, zlib or raw deflate: servers send the last two under the name of `deflate`.

    Raw deflate has no header and is found in almost any text, so it must be whole.
    """
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS) if coding == "deflate" else (zlib.MAX_WBITS | 32,):
        inflater = zlib.decompressobj(window)
        try:
            decoded = inflater.decompress(body, most)
        except zlib.error:
            continue
        if inflater.eof or len(decoded) == most or (window > 0 and not whole):
            return decoded
    return None
