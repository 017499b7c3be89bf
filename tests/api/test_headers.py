"""Headers of requests, as the reference gave them as request_headers, and of responses."""

import pytest

from scoring_runtime.api import headers as module
from scoring_runtime.api.datastructures import MultiDict
from scoring_runtime.api.headers import Headers, RequestHeaders, headers_dict

RAW = [
    (b"host", b"localhost"),
    (b"content-type", b"a/b"),
    (b"x-foo", b"a"),
    (b"x_under", b"1"),
    (b"x-foo", b"b"),
    (b"dnt", b"1"),
    (b"etag", b"x"),
    (b"x-1st-thing", b"q"),
    (b"don't", b"1"),
    (b"x-empty", b""),
    (b"x-latin", b"\xe9\xff"),
    (b"content-length", b"8"),
]


def test_names_are_in_title_case_and_repeated_ones_are_joined():
    assert headers_dict(RAW) == {
        "Host": "localhost",
        "Content-Type": "a/b",
        "X-Foo": "a,b",
        "Dnt": "1",
        "Etag": "x",
        "X-1St-Thing": "q",
        "Don'T": "1",
        "X-Empty": "",
        "X-Latin": "éÿ",
        "Content-Length": "8",
    }


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ([(b"content-type", b"")], {}),
        ([(b"content-length", b"")], {}),
        ([(b"content-type", b"a/b"), (b"content-type", b"c/d")], {"Content-Type": "c/d"}),
        ([(b"content-type", b"a/b"), (b"content-type", b"")], {}),
    ],
)
def test_the_last_content_type_counts_and_an_empty_one_does_not(raw, found):
    assert headers_dict(raw) == found


def test_every_dict_is_fresh():
    first = headers_dict(RAW)
    first["Host"] = "changed"
    assert headers_dict(RAW)["Host"] == "localhost"


def test_names_that_clients_invent_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(module, "TITLES", {})
    monkeypatch.setattr(module, "TITLES_LIMIT", 1)
    assert headers_dict([(b"x-a", b"1"), (b"x-b", b"2")]) == {"X-A": "1", "X-B": "2"}
    assert module.TITLES == {b"x-a": "X-A"}


def test_request_headers_are_read_without_regard_to_case():
    headers = RequestHeaders(RAW)
    assert headers["x-FOO"] == headers["X_Foo"] == headers.get("X-foo") == "a,b"
    assert "X-Foo" in headers
    assert "zz" not in headers
    assert 1 not in headers
    assert headers.getlist("x-foo") == ["a,b"]
    assert headers.get_all("zz") == []
    assert headers.get("content-length", type=int) == 8
    assert headers.get("etag", 5, type=int) == 5


def test_request_headers_are_iterated_as_pairs():
    headers = RequestHeaders(RAW[:2])
    pairs = [("Host", "localhost"), ("Content-Type", "a/b")]
    assert list(headers) == list(headers.items()) == headers.to_wsgi_list() == pairs
    assert dict(headers) == dict(pairs)
    assert (list(headers.keys()), list(headers.values()), len(headers)) == (
        ["Host", "Content-Type"],
        ["localhost", "a/b"],
        2,
    )
    assert list(headers.keys(lower=True)) == ["host", "content-type"]
    assert list(headers.items(lower=True)) == [("host", "localhost"), ("content-type", "a/b")]
    assert str(headers) == "Host: localhost\r\nContent-Type: a/b\r\n\r\n"
    assert repr(headers) == f"EnvironHeaders({pairs})"
    assert headers == RequestHeaders(RAW[:2])


def test_request_headers_cannot_be_changed():
    headers = RequestHeaders(RAW)
    with pytest.raises(TypeError, match="read-only"):
        headers["X"] = "1"
    with pytest.raises(TypeError, match="read-only"):
        headers.add("X", "1")
    with pytest.raises(KeyError):
        headers[0]


def test_a_header_may_be_added_more_than_once():
    headers = Headers([("A", "1")])
    headers.add("a", 2)
    headers.add_header("Content-Disposition", "attachment", filename='a "b".txt', size=None, x_y="z")
    assert headers.getlist("A") == headers.get_all("a") == ["1", "2"]
    assert headers["a"] == headers.get("A") == "1"
    assert headers["Content-Disposition"] == 'attachment; filename="a \\"b\\".txt"; x-y=z'


def test_set_takes_the_place_of_the_first_one():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    headers["a"] = "4"
    headers.set("C", "5")
    assert list(headers) == [("a", "4"), ("B", "2"), ("C", "5")]


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_a_line_break_in_a_value_is_refused(value):
    with pytest.raises(ValueError, match="line break"):
        Headers().add("A", value)


def test_headers_are_made_from_dicts_and_from_each_other():
    assert list(Headers({"A": ["1", "2"], "B": 3})) == [("A", "1"), ("A", "2"), ("B", "3")]
    assert list(Headers(MultiDict([("A", "1"), ("A", "2")]))) == [("A", "1"), ("A", "2")]
    assert list(Headers(RequestHeaders(RAW[:1]))) == [("Host", "localhost")]
    assert Headers([("A", "1")]) == Headers({"a": "1"})
    assert Headers() != {}
    assert RequestHeaders() != {}


def test_extend_adds_and_update_replaces():
    headers = Headers({"A": "1"})
    headers.extend({"A": "2"}, b="3")
    assert list(headers) == [("A", "1"), ("A", "2"), ("b", "3")]
    headers.update({"a": ["4", "5"]}, B="6")
    assert list(headers) == [("a", "4"), ("B", "6"), ("a", "5")]


def test_fields_are_removed():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3"), ("C", "4"), ("D", "5")])
    assert headers.pop("a") == "1"
    assert headers.pop("zz", None) is None
    assert headers.pop() == ("D", "5")
    assert headers.pop(0) == ("B", "2")
    del headers["c"]
    assert list(headers) == []
    with pytest.raises(KeyError):
        headers.pop("zz")


def test_the_other_methods_of_a_dict():
    headers = Headers([("A", "1"), ("B", "x")])
    assert headers.setdefault("a", "9") == "1"
    assert headers.setdefault("N", 9) == "9"
    assert ("a" in headers, "zz" in headers, 1 in headers) == (True, False, False)
    assert (list(headers.keys()), list(headers.keys(lower=True))) == (["A", "B", "N"], ["a", "b", "n"])
    assert (list(headers.values()), len(headers)) == (["1", "x", "9"], 3)
    assert next(iter(headers.items(lower=True))) == ("a", "1")
    assert (headers[0], list(headers[:1])) == (("A", "1"), [("A", "1")])
    assert headers.getlist("B", type=int) == []
    assert headers.get("A", type=int) == 1
    headers.setlist("A", ["7", "8"])
    assert headers.popitem() == ("A", "8")
    copied = headers.copy()
    del headers[0]
    headers.clear()
    assert (len(headers), len(copied)) == (0, 3)
    assert str(copied) == "B: x\r\nN: 9\r\nA: 7\r\n\r\n"
    assert repr(copied) == "Headers([('B', 'x'), ('N', '9'), ('A', '7')])"
