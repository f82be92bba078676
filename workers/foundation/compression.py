"""Bounded decompression of HTTP bodies."""

import zlib


def decompress(body: bytes, encoding: str, most: int) -> bytes | None:
    """Return the first `most` bytes of a body with this Content-Encoding; None if it cannot be decoded.

    Without an encoding, and with `identity`, the body is returned as it is. Of a body that breaks off, the part before
    the break is returned.
    """
    for coding in reversed([name for part in encoding.lower().split(",") if (name := part.strip())]):
        if coding == "identity":
            continue
        decoded = _inflate(body, coding, most) if coding in ("gzip", "x-gzip", "deflate") else None
        if decoded is None:
            return None
        body = decoded
    return body[:most]


def _inflate(body: bytes, coding: str, most: int) -> bytes | None:
    """Decompress gzip, zlib or raw deflate: servers send the last two under the name of `deflate`.

    Raw deflate has no header, so a part of it would be found in any text.
    """
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, most)
    except zlib.error:
        raw = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        decoded = raw.decompress(body, most)
    except zlib.error:
        return None
    return decoded if coding == "deflate" and raw.eof else None
