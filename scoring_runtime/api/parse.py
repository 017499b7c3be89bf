"""Texts of HTTP as values: parameters of a header, cookies, query strings and URLs."""

from __future__ import annotations

import re

__all__ = ["comma_list", "cookies", "options", "query", "readable_url"]

CHARSETS = {"ascii", "us-ascii", "utf-8", "iso-8859-1"}  # the only ones that modern clients send

PARAMETER = re.compile(
    r"""[ \t]*([\w!#$%&'*+\-.^`|~]+)=           # the name; no space may precede the sign
        (?:([\w!#$%&'*+\-.^`|~]+)|"((?:\\.|[^"\\])*)")   # a token, or a quoted string""",
    re.ASCII | re.VERBOSE | re.DOTALL,
)
UNCLOSED = re.compile(r"""[ \t]*[\w!#$%&'*+\-.^`|~]+=\"""", re.ASCII)
MARK = re.compile(r"(?:\*(\d+))?(\*)?$", re.ASCII)  # *0, *0* or *; also matches nothing at the end
BACKSLASHED = re.compile(r"\\(.)", re.DOTALL)
EXTENDED = re.compile(r"([\w!#$%&*+\-.^`|~]*)'[\w!#$%&*+\-.^`|~]*'([\w!#$%&'*+\-.^`|~]+)", re.ASCII)
COOKIE = re.compile(
    r"""[ \t]*([^ \t=";]+)(?:[ \t]*=[ \t]*("(?:[^\\"]|\\.)*"|[^ \t";]*))?[ \t]*(?:;|\Z)""", re.ASCII | re.DOTALL
)
ESCAPED = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)


def options(text: str) -> tuple[str, dict[str, str]]:
    """`form-data; name="a"; filename*=utf-8''%e2%82%ac` as ("form-data", {"name": "a", "filename": "€"}).

    Names are in lower case. Parameters that are not well-formed are left out.
    """
    value, _, rest = text.partition(";")
    value = value.strip(" \t")
    result: dict[str, str] = {}
    if not value:
        return value, result
    pieces: dict[str, list[str]] = {}  # of parameters that come in numbered pieces: name*0=...; name*1=...
    charsets: dict[str, str] = {}
    position = 0
    while position >= 0:
        match = PARAMETER.match(rest, position)
        if match is not None:
            take(match, result, pieces, charsets)
            position = match.end()
        elif UNCLOSED.match(rest, position):
            break  # it swallows all that follows
        position = rest.find(";", position) + 1 or -1
    result.update({name: "".join(texts) for name, texts in pieces.items()})
    return value, result


def take(match: re.Match[str], result: dict[str, str], pieces: dict[str, list[str]], charsets: dict[str, str]) -> None:
    """Put one parameter where it belongs."""
    key, token, quoted = match.groups()
    mark = MARK.search(key)
    assert mark is not None
    name = key[: mark.start()].lower()
    numbered = mark[1] is not None
    if mark[2]:
        text = decoded(token if token is not None else f'"{quoted}"', name, numbered, charsets)
    else:
        # Browsers write a quote in a file name as %22, others as \".
        text = (token if token is not None else BACKSLASHED.sub(r"\1", quoted)).replace("%22", '"')
    if numbered:
        result.pop(name, None)
        pieces.setdefault(name, []).append(text)
    else:
        pieces.pop(name, None)
        charsets.pop(name, None)
        result[name] = text


def decoded(text: str, name: str, numbered: bool, charsets: dict[str, str]) -> str:
    match = EXTENDED.fullmatch(text)
    charset = ""
    if match is not None:
        charset, text = match[1].lower(), match[2]
    if not charset and numbered:
        charset = charsets.get(name, "")
    if charset not in CHARSETS:
        return text
    from urllib.parse import unquote

    if numbered:
        charsets[name] = charset
    return unquote(text, encoding=charset)


def cookies(text: str) -> list[tuple[str, str]]:
    """The cookies of a Cookie header; what is not one is skipped up to the next semicolon."""
    result: list[tuple[str, str]] = []
    position = 0
    while True:
        match = COOKIE.match(text, position)
        if match is None:
            position = text.find(";", position) + 1
            if position == 0:
                return result
            continue
        name, value = match[1], match[2] or ""
        position = match.end()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = ESCAPED.sub(unescaped, value[1:-1].encode()).decode(errors="replace")
        result.append((name, value))


def unescaped(match: re.Match[bytes]) -> bytes:
    return match[1] if len(match[1]) == 1 else bytes([int(match[1], 8)])


def query(text: str) -> list[tuple[str, str]]:
    """The pairs of a query string or an urlencoded form. Bytes that are not UTF-8 stay percent-encoded."""
    from urllib.parse import parse_qsl

    register_requote()
    return parse_qsl(text, keep_blank_values=True, errors="scoring_runtime.requote")


def register_requote() -> None:
    import codecs

    codecs.register_error("scoring_runtime.requote", requote)


def requote(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


def comma_list(text: str) -> list[str]:
    """The items of a header such as Accept; commas in quoted strings do not separate."""
    items = [item.strip() for item in re.findall(r'((?:[^,"]|"(?:\\.|[^"\\])*"?)+)', text)]
    return [item[1:-1] if len(item) > 1 and item[0] == item[-1] == '"' else item for item in items if item]


PATH_SAFE = "!$&'()*+,/:;=@%"


def readable_url(start: str, path: str = "/", query_string: bytes = b"") -> str:
    """A URL as a person would write it: percent escapes of letters beyond ASCII are decoded."""
    from urllib.parse import quote

    register_requote()
    url = start + unescape(quote(path, safe=PATH_SAFE), "/?#")
    if query_string:
        url += "?" + unescape(quote(query_string, safe=PATH_SAFE + "?"), "&=+#")
    return url


def unescape(text: str, reserved: str) -> str:
    """Percent escapes decoded, but for those of controls, space, percent, the reserved characters and bad UTF-8."""
    from urllib.parse import unquote

    if "%" not in text:
        return text
    kept = [*range(0x21), 0x25, 0x7F, *map(ord, reserved)]
    pattern = "((?:%(?:" + "|".join(f"{code:02X}" for code in kept) + "))+)"
    pieces = re.split(pattern, text, flags=re.IGNORECASE)
    return "".join(
        piece if index % 2 else unquote(piece, errors="scoring_runtime.requote") for index, piece in enumerate(pieces)
    )
