"""Multipart forms, whole and broken, with werkzeug's readings of them."""

import io

import pytest

from scoring_runtime.api import multipart
from scoring_runtime.api.multipart import read_form, read_multipart


def part(disposition: str, data: bytes, extra: str = "") -> bytes:
    return f"--B\r\nContent-Disposition: form-data; {disposition}\r\n{extra}\r\n".encode() + data + b"\r\n"


END = b"--B--\r\n"
FULL = part('name="a"', b"x\xc3\xa9") + part('name="f"; filename="p.bin"', b"DATA", "Content-Type: image/PNG\r\n")
FULL_FOUND = ([("a", "xé")], [("f", "p.bin", b"DATA")])


@pytest.fixture(params=[1, 2, 5, 7, 256 * 1024], ids="chunks of {}".format)
def read(request, monkeypatch):
    monkeypatch.setattr(multipart, "CHUNK_BYTES", request.param)

    def read(body: bytes):
        stream = io.BytesIO(body)
        try:
            fields, files = read_multipart(stream, b"B")
        finally:
            assert stream.read() == b""
        found = fields, [(name, file.filename, file.read()) for name, file in files]
        for _, file in files:
            file.close()
        return found

    return read


@pytest.mark.parametrize(
    "body",
    [
        FULL + END,
        FULL + b"--B--",
        FULL + b"--B-- \t\r\nepilogue",
        b"preamble\r\n" + FULL + END,
        b"\r\n" + FULL + END,
        FULL.replace(b"--B\r\n", b"--B \t\r\n") + END,
        FULL.replace(b"\r\n", b"\n") + b"--B--\n",
        FULL.replace(b"\r\n", b"\r") + b"--B--\r",
    ],
)
def test_fields_and_files_are_found(read, body):
    assert read(body) == FULL_FOUND


@pytest.mark.parametrize(
    "body",
    [
        b"",
        FULL,
        FULL + b"--B",
        FULL.replace(b"--B", b"--C") + b"--C--",
        b"--B\r\nX: y\r\n\r\n1\r\n" + END,
        b"--B\r\n\r\n1\r\n" + END,
        b"--B\r\nContent-Disposition: form-data; name=a",
        b'--B\r\nContent-Disposition: form-data; name="\xe9"\r\n\r\n1\r\n' + END,
        part("name=f; filename=x", b"1") + b"--B\r\nX: y\r\n\r\n1\r\n" + END,
    ],
)
def test_a_broken_body_is_refused_as_a_whole(read, body):
    with pytest.raises(ValueError):
        read(body)


def test_an_empty_form_has_nothing(read):
    assert read(END) == ([], [])


@pytest.mark.parametrize(
    "data", [b"", b"x--B\r\n--Bx\r\ny", b"\r\n", b"\r\n\r\n--", b"x--B", b"\r\n--", bytes(range(256))]
)
def test_what_only_looks_like_a_boundary_is_data(read, data):
    assert read(part("name=f; filename=x", data) + END) == ([], [("f", "x", data)])


def test_a_boundary_may_follow_the_blank_line(read):
    assert read(b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\n--B--") == ([("a", "")], [])


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        ("name=f; filename*=UTF-8''%e2%82%ac.txt", "f", "€.txt"),
        ('name="é"; filename="€ \\" %22.txt"', "é", '€ " ".txt'),
        ('name="f"; filename=""', "f", ""),
        ('filename="x"', None, "x"),
        ('name="f";\r\n filename="x"', "f", "x"),
    ],
)
def test_names_of_files(read, disposition, name, filename):
    assert read(part(disposition, b"1") + END) == ([], [(name, filename, b"1")])


def test_a_field_may_lack_a_name_and_repeat(read):
    assert read(part("x=1", b"2") + part("name=a", b"1") + part("name=a", b"2") + END) == (
        [(None, "2"), ("a", "1"), ("a", "2")],
        [],
    )


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("", "�"),
        ("Content-Type: text/plain; charset=ISO-8859-1\r\n", "é"),
        ("Content-Type: a/b; charset=koi8-r\r\n", "�"),
    ],
)
def test_fields_are_utf8_unless_they_say_otherwise(read, charset, text):
    assert read(part("name=a", b"\xe9", charset) + END) == ([("a", text)], [])


def test_a_file_keeps_the_headers_of_its_part():
    (_, file), *_ = read_multipart(io.BytesIO(FULL + END), b"B")[1]
    assert list(file.headers) == [
        ("Content-Disposition", 'form-data; name="f"; filename="p.bin"'),
        ("Content-Type", "image/PNG"),
    ]
    file.close()


def test_a_large_file_spills_to_disk_and_fields_have_no_limit():
    large = b"0123456789" * 200_000
    body = (
        part("name=f; filename=x", large)
        + part("name=a", large)
        + b"".join(part(f"name=n{number}", b"1") for number in range(1500))
    )
    fields, files = read_multipart(io.BytesIO(body + END), b"B")
    assert (len(fields), fields[0][1] == large.decode()) == (1501, True)
    assert files[0][1].read() == large
    assert files[0][1].stream._rolled
    files[0][1].close()


def test_forms_of_either_kind():
    assert read_form(io.BytesIO(b"a=1&a=2"), "application/x-www-form-urlencoded", {}) == ([("a", "1"), ("a", "2")], [])
    fields, ((name, file),) = read_form(io.BytesIO(FULL + END), "multipart/form-data", {"boundary": "B"})
    assert (fields, name, file.read()) == ([("a", "xé")], "f", b"DATA")
    file.close()
    with pytest.raises(ValueError, match="boundary"):
        read_form(io.BytesIO(FULL), "multipart/form-data", {})
