"""Manners: odd but real ways in which a provider answers.

A manner turns a polite answer into an odd one. All random choices are drawn from the given generator.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from sandbox.wire import BROKEN, JSON, Answer, Raw, close_early, json_answer

Body = Mapping[str, object]
Manner = Callable[[Random, int, Body], Answer | Raw]
"""Return the answer, from the HTTP status and the body of the polite one."""

HTML = b"<!doctype html><html><head><title>Welcome</title></head><body><h1>Please sign in</h1></body></html>"
NO_STATUS: tuple[object, ...] = ({"status": "error", "data": None}, {}, [])
UNUSABLE = (200, 204, 302, 400, 405, 410, 422, 451)
"""Statuses of answers to a status check that prove neither presence nor absence."""
SIZES = (20_000, 200_000, 900_000)
"""Sizes of large answers in bytes."""
LINES = (9_000, 20_000, 60_000)
"""Sizes of long header lines in bytes."""
CLOSES_WITHIN = 0.05
"""Longest time in real seconds from an answer to the end of its connection."""
ODD_FIELDS = (b'"M\xfcller"', b'"\\u0000 \\ud800"', b"1e999", b"NaN", b'"' + b"\\ud83d" * 40 + b'"')
"""JSON values of a field that the caller does not need: invalid UTF-8, no text for a database, no finite number."""
CHARSETS = ("iso-8859-1", "windows-1252", "x-unknown", '"utf-8')
MISLABELS = ("br", "gzip", "deflate", "zstd", "x-unknown")
JUNK_WAITS = (
    "-5",
    "1.5",
    "",
    "soon",
    "nan",
    "1, 2",
    "0x10",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "\N{ARABIC-INDIC DIGIT ONE}",
)
DECLINE_REASON = "Your card has insufficient funds."
HUGE_WAITS = ("9" * 400, "inf", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT")


def polite(_chance: Random, http: int, body: Body) -> Answer:
    """Answer with plain JSON."""
    return json_answer(http, body)


def early_close(chance: Random, http: int, body: Body) -> Raw:
    """Close the connection 0 to 50 ms after the answer, which announced to keep it."""
    after = 0.0 if chance.random() < 0.25 else chance.uniform(0, CLOSES_WITHIN)
    return close_early(polite(chance, http, body), after)


def html(chance: Random, _http: int, _body: Body) -> Answer:
    """Answer 200 with an HTML page, sometimes labelled as JSON."""
    return Answer(200, HTML, {"Content-Type": chance.choice(("text/html; charset=utf-8", "application/json"))})


def no_status(chance: Random, http: int, body: Body) -> Answer:
    """Answer a create with the id only, and a status check of an absent transaction with 200."""
    if http == 404:
        return json_answer(200, chance.choice(NO_STATUS))
    return polite(chance, http, {"id": body.get("id")} if http == 201 else body)


def huge(chance: Random, http: int, body: Body) -> Answer:
    """Answer with 20 to 900 KB of JSON, which end with the fields that the caller needs."""
    return polite(chance, http, {"history": ["x" * 1_000] * (chance.choice(SIZES) // 1_000), **body})


def bad_bytes(chance: Random, http: int, body: Body) -> Answer:
    """Add a byte order mark, an odd field or the label of another charset."""
    answer = polite(chance, http, body)
    match chance.randrange(3):
        case 0:
            return replace(answer, content=b"\xef\xbb\xbf" + answer.content)
        case 1:
            return replace(answer, content=b'{"note": ' + chance.choice(ODD_FIELDS) + b", " + answer.content[1:])
    return replace(answer, headers={"Content-Type": f"application/json; charset={chance.choice(CHARSETS)}"})


def mislabelled(chance: Random, http: int, body: Body) -> Answer:
    """Label plain JSON with a content encoding."""
    return replace(polite(chance, http, body), headers={**JSON, "Content-Encoding": chance.choice(MISLABELS)})


def big_header(chance: Random, http: int, body: Body) -> Answer:
    """Add a header line of 9 to 60 KB."""
    policy = "x" * chance.choice(LINES)
    return replace(polite(chance, http, body), headers={**JSON, "Content-Security-Policy": policy})


def slow_body(chance: Random, http: int, body: Body) -> Raw:
    """Send the headers at once, and a body that drips, never ends or breaks off."""
    return chance.choice(BROKEN)(polite(chance, http, body))


def forbidden(_chance: Random, _http: int, _body: Body) -> Answer:
    """Answer 403."""
    return json_answer(403, {"error": "this merchant may not use this transaction"})


def junk_wait(chance: Random, _http: int, _body: Body) -> Answer:
    """Answer 429 with a Retry-After that is no number of seconds."""
    return Answer(429, b"{}", {**JSON, "Retry-After": chance.choice(JUNK_WAITS)})


def huge_wait(chance: Random, _http: int, _body: Body) -> Answer:
    """Answer 429 with a Retry-After of centuries."""
    return Answer(429, b"{}", {**JSON, "Retry-After": chance.choice(HUGE_WAITS)})


def card_declined(_chance: Random, http: int, _body: Body) -> Answer:
    """Answer with the reason in a nested error."""
    return json_answer(http, {"error": {"code": "card_declined", "message": DECLINE_REASON}})


def unusable(chance: Random, _http: int, _body: Body) -> Answer:
    """Answer a status check without a status: 2xx, 302 or a 4xx that does not mean absent."""
    http = chance.choice(UNUSABLE)
    if http == 200:
        return chance.choice((html(chance, http, {}), json_answer(200, chance.choice(NO_STATUS))))
    return Answer(http, headers={"Location": "/login"} if http == 302 else {})


UNKNOWN: tuple[Manner, ...] = (
    *(polite, early_close, unusable) * 2,
    huge,
    bad_bytes,
    big_header,
    slow_body,
)
"""Manners of status checks of ids that were never created. The first three are twice as likely as the others."""
