"""AMLRequest, with answers of Flask 3.1 and werkzeug 3.1 as the reference server gave them."""

import copy
import functools
import io
from datetime import datetime, timezone

import pytest

from scoring_runtime.api.request import AMLRequest, BadRequest, UnsupportedMediaType, is_rawhttp, rawhttp

URLENCODED = [(b"content-type", b"application/x-www-form-urlencoded")]
MULTIPART = [(b"content-type", b"multipart/form-data; boundary=B")]
JSON = [(b"content-type", b"application/json")]
FORM = (
    b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\xc3\xa9\r\n'
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="p.bin"\r\nContent-Type: image/PNG; x=1\r\n\r\nDATA\r\n'
    b"--B--\r\n"
)


def headers(*lines: str) -> list[tuple[bytes, bytes]]:
    pairs = (line.split(": ", 1) for line in lines)
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]


def test_rawhttp_marks_the_function_itself():
    def run(request):
        return request

    assert not is_rawhttp(run)
    assert rawhttp(run) is run
    assert is_rawhttp(run)


def test_the_mark_is_seen_through_wrappers():
    class Timed:
        def __init__(self, function):
            self.__wrapped__ = function

    def run(request, extra):
        return request

    assert is_rawhttp(functools.wraps(rawhttp(run))(lambda request: request))
    assert is_rawhttp(Timed(run))
    assert is_rawhttp(functools.partial(run, extra=1))
    assert not is_rawhttp(Timed(len))
    assert not is_rawhttp(None)


def test_an_empty_request_can_be_made_for_typing():
    request = AMLRequest()
    assert isinstance(request, AMLRequest)
    assert (request.method, request.full_path, request.data, request.mimetype) == ("GET", "/?", b"", "")


def test_where_it_was_sent():
    request = AMLRequest(
        method="POST",
        path="/score",
        query_string=b"a=1&a=2&b=%ff&c&d=x+y%20z;e=1",
        headers=headers("Host: LOCALHOST:7411"),
    )
    assert request.full_path == "/score?a=1&a=2&b=%ff&c&d=x+y%20z;e=1"
    assert request.url == "http://localhost:7411/score?a=1&a=2&b=%FF&c&d=x+y%20z;e=1"
    assert request.base_url == "http://localhost:7411/score"
    assert request.url_root == request.root_url == request.host_url == "http://localhost:7411/"
    assert (request.host, request.scheme, request.is_secure, request.script_root) == (
        "LOCALHOST:7411",
        "http",
        False,
        "",
    )
    assert list(request.args.items(multi=True)) == [("a", "1"), ("a", "2"), ("b", "%FF"), ("c", ""), ("d", "x y z;e=1")]
    assert repr(request) == "<AMLRequest 'http://localhost:7411/score?a=1&a=2&b=%FF&c&d=x+y%20z;e=1' [POST]>"


def test_the_usual_port_is_left_out_of_the_host():
    assert AMLRequest(headers=headers("Host: a.b:80")).host == "a.b"
    assert AMLRequest(host="0.0.0.0:443", scheme="https").url == "https://0.0.0.0/"
    assert AMLRequest(host="0.0.0.0:5001").host == "0.0.0.0:5001"


def test_a_missing_parameter_is_a_key_error():
    request = AMLRequest(method="POST", headers=URLENCODED, body=b"a=1")
    for mapping in (request.args, request.form, request.files, request.headers, request.values):
        with pytest.raises(KeyError, match="zz"):
            mapping["zz"]
        assert mapping.get("zz") is None


def test_what_its_headers_say():
    request = AMLRequest(
        headers=headers(
            'Content-Type: Application/JSON; Charset=UTF-8; x="q;"',
            "Content-Length: 8",
            "Content-Encoding: gzip",
            "Content-MD5: abc",
            'Cookie: a=1; b="x y"; c',
            "User-Agent: curl/7",
            "Referer: http://r",
            "Date: Wed, 21 Oct 2015 07:28:00 GMT",
            "X-Forwarded-For: 1.2.3.4, 5.6.7.8",
        ),
        remote_addr="127.0.0.1",
    )
    assert request.content_type == 'Application/JSON; Charset=UTF-8; x="q;"'
    assert (request.mimetype, request.mimetype_params) == ("application/json", {"charset": "UTF-8", "x": "q;"})
    assert (request.content_length, request.content_encoding, request.content_md5) == (8, "gzip", "abc")
    assert request.cookies.to_dict() == {"a": "1", "b": "x y", "c": ""}
    assert (str(request.user_agent), request.user_agent.browser, request.referrer) == ("curl/7", None, "http://r")
    assert request.date == datetime(2015, 10, 21, 7, 28, tzinfo=timezone.utc)
    assert request.access_route == ["1.2.3.4", "5.6.7.8"]


def test_headers_that_are_absent():
    request = AMLRequest(remote_addr="127.0.0.1")
    assert (request.content_type, request.content_length, request.referrer, request.date) == (None, None, None, None)
    assert (request.authorization, request.access_route, request.cookies.to_dict()) == (None, ["127.0.0.1"], {})
    assert AMLRequest().access_route == []
    assert not request.user_agent


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (["Content-Length: x"], 0),
        (["Content-Length: -5"], 0),
        (["Content-Length: 5", "Transfer-Encoding: Chunked"], None),
    ],
)
def test_content_length_that_is_none(lines, length):
    assert AMLRequest(headers=headers(*lines)).content_length == length


def test_what_it_accepts():
    request = AMLRequest(
        headers=headers("Accept: text/*;q=0.3, application/json", "Accept-Language: de, en;q=0.5", "Accept-Charset: *")
    )
    assert request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"
    assert request.accept_languages.best == "de"
    assert "utf-8" in request.accept_charsets
    assert request.accept_encodings == []


BODIES = [
    pytest.param(lambda data: data, id="bytes"),
    pytest.param(io.BytesIO, id="file"),
    pytest.param(lambda data: used(io.BytesIO(data)), id="file at its end"),
]


def used(file):
    file.read()
    return file


@pytest.mark.parametrize("body", BODIES)
def test_the_body_can_be_read_again_when_it_was_kept(body):
    request = AMLRequest(body=body(b"a\xffb"))
    assert request.get_data() == request.data == b"a\xffb"
    assert request.get_data(as_text=True) == "a�b"
    assert request.stream.read() == b""


@pytest.mark.parametrize("body", BODIES)
def test_the_body_is_used_up_when_it_was_not_kept(body):
    request = AMLRequest(headers=URLENCODED, body=body(b"a=1"))
    assert request.get_data(False) == b"a=1"
    assert (request.get_data(), request.data, request.stream.read()) == (b"", b"", b"")
    assert request.form.to_dict() == {}


def test_bytes_are_handed_out_without_a_copy():
    body = b"x" * 100
    assert AMLRequest(body=body).get_data() is body


def test_get_data_gives_what_the_stream_has_left():
    request = AMLRequest(body=b"abcdef")
    assert request.stream.read(3) == b"abc"
    assert (request.get_data(), request.data) == (b"def", b"def")


@pytest.mark.parametrize("body", BODIES)
def test_data_of_a_form_is_empty(body):
    request = AMLRequest(method="POST", headers=URLENCODED, body=body(b"a=1&b=%ff&b=2&c"))
    assert request.data == b""
    assert request.get_data() == b""
    assert list(request.form.items(multi=True)) == [("a", "1"), ("b", "%FF"), ("b", "2"), ("c", "")]


def test_get_data_before_the_form_leaves_both():
    request = AMLRequest(method="POST", headers=URLENCODED, body=b"a=1&b=2")
    assert request.get_data() == b"a=1&b=2"
    assert request.form.to_dict() == {"a": "1", "b": "2"}
    assert request.data == request.get_data() == b"a=1&b=2"


def test_a_form_that_is_not_utf8_is_empty():
    request = AMLRequest(method="POST", headers=URLENCODED, body=b"a=\xff")
    assert (request.form.to_dict(), request.data) == ({}, b"")


@pytest.mark.parametrize("body", BODIES)
def test_fields_and_files_of_a_multipart_form(body):
    request = AMLRequest(method="POST", headers=MULTIPART, body=body(FORM))
    file = request.files["f"]
    assert request.form.to_dict() == {"a": "xé"}
    assert (file.read(), file.filename, file.name, file.mimetype) == (b"DATA", "p.bin", "f", "image/png")
    assert (request.data, request.get_data()) == (b"", b"")
    request.close()
    assert file.stream.closed


def test_get_data_before_a_multipart_form_leaves_both():
    request = AMLRequest(method="POST", headers=MULTIPART, body=FORM)
    assert request.get_data() == FORM
    assert request.files["f"].read() == b"DATA"
    assert request.data == FORM
    request.close()


@pytest.mark.parametrize("content_type", [b"multipart/form-data", b"multipart/form-data; boundary=\xe9"])
def test_multipart_without_a_usable_boundary_is_data(content_type):
    request = AMLRequest(method="POST", headers=[(b"content-type", content_type)], body=FORM)
    assert (request.form.to_dict(), request.files.to_dict()) == ({}, {})
    assert request.data == request.get_data() == FORM


def test_values_are_those_of_the_query_and_of_the_form():
    request = AMLRequest(method="POST", query_string=b"a=1", headers=URLENCODED, body=b"a=2&b=3")
    assert (request.values["a"], request.values.getlist("a"), request.values["b"]) == ("1", ["1", "2"], "3")
    assert AMLRequest(query_string=b"a=1", headers=URLENCODED, body=b"b=3").values.to_dict() == {"a": "1"}


@pytest.mark.parametrize("kind", [b"application/json", b"application/problem+json; charset=x", b"Application/JSON"])
def test_json_is_read_once(kind):
    request = AMLRequest(headers=[(b"content-type", kind)], body=b'{"a": NaN}')
    assert request.is_json
    assert request.json is request.get_json()
    assert request.get_data() == b'{"a": NaN}'


def test_json_may_be_utf16():
    assert AMLRequest(headers=JSON, body="[1]".encode("utf-16")).json == [1]


def test_json_of_another_type_is_refused_unless_forced():
    request = AMLRequest(headers=[(b"content-type", b"image/jpeg")], body=b"[1]")
    with pytest.raises(UnsupportedMediaType, match="image/jpeg"):
        _ = request.json
    assert request.get_json(silent=True) is None
    assert request.get_json(force=True) == [1]


def test_json_that_does_not_parse_raises_unless_silent():
    request = AMLRequest(headers=JSON, body=b"{bad")
    assert request.get_json(silent=True) is None
    assert request.get_json(silent=True) is None
    with pytest.raises(BadRequest, match="not JSON"):
        _ = request.json
    assert request.data == b"{bad"


def test_json_without_cache_uses_the_body_up():
    request = AMLRequest(headers=JSON, body=b"[1]")
    assert request.get_json(cache=False) == [1]
    assert request.get_json(cache=False, silent=True) is None
    assert request.get_data() == b""


def test_environ_is_that_of_wsgi():
    request = AMLRequest(
        method="POST",
        path="/é",
        query_string=b"a=1",
        headers=headers("Host: h", "Content-Type: a/b", "Content-Length: 1", "X-Foo: 1"),
        body=b"x",
        host="0.0.0.0:5001",
        remote_addr="1.2.3.4",
        remote_port=9,
    )
    environ = request.environ
    assert environ["wsgi.input"].read() == b"x"
    assert {key: value for key, value in environ.items() if not key.startswith("wsgi.")} == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/\xc3\xa9",
        "QUERY_STRING": "a=1",
        "REMOTE_ADDR": "1.2.3.4",
        "REMOTE_PORT": "9",
        "SERVER_NAME": "0.0.0.0",
        "SERVER_PORT": "5001",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "1",
        "HTTP_HOST": "h",
        "HTTP_X_FOO": "1",
    }


def test_environ_of_a_server_without_a_port():
    environ = AMLRequest(host="box", scheme="https").environ
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("box", "443")
    assert "REMOTE_ADDR" not in environ


def test_a_script_may_set_attributes():
    request = AMLRequest()
    request.started = 1
    assert request.started == 1


def test_an_unknown_attribute_is_named_with_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'blueprint'.*get_data"):
        _ = AMLRequest().blueprint


def test_a_request_can_be_copied_and_used_in_with():
    with AMLRequest(path="/score") as request:
        assert copy.copy(request).path == "/score"
