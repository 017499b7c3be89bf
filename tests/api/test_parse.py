"""Texts of HTTP, with werkzeug's readings of them."""

import pytest

from scoring_runtime.api.accept import Accept, Authorization, UserAgent, parse_date
from scoring_runtime.api.cookie import http_date, set_cookie
from scoring_runtime.api.parse import comma_list, cookies, options, query, readable_url


@pytest.mark.parametrize(
    ("text", "value", "parameters"),
    [
        ("", "", {}),
        ("a/b", "a/b", {}),
        (" a/b ; C=1", "a/b", {"c": "1"}),
        ("; a=1", "", {}),
        ('a; b="x;y"; c="x\\"y\\\\z"; d=%22', "a", {"b": "x;y", "c": 'x"y\\z', "d": '"'}),
        ('a; b="C:\\dir\\x.txt"', "a", {"b": "C:dirx.txt"}),
        ('a; e; b=1; D = 1; =x; g="1', "a", {"b": "1"}),
        ('a; e; g="x"', "a", {"g": "x"}),
        ("a; f*=utf-8''%e2%82%ac.txt", "a", {"f": "€.txt"}),
        ("a; f*=UTF-8'en'%e9", "a", {"f": "�"}),
        ("a; f*=iso-8859-1''%e9", "a", {"f": "é"}),
        ("a; f*=koi8-r''%e9; g*=%e9", "a", {"f": "%e9", "g": "%e9"}),
        ('a; f*="x"', "a", {"f": '"x"'}),
        ("a; g*0=x; g*1=y", "a", {"g": "xy"}),
        ("a; g*0*=utf-8''%c3%a9; g*1*=%c3%a8; g*2=x", "a", {"g": "éèx"}),
        ("a; g=1; g*0=x", "a", {"g": "x"}),
        ("a; g*0=x; g=1", "a", {"g": "1"}),
    ],
)
def test_options_of_a_header(text, value, parameters):
    assert options(text) == (value, parameters)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("a=1; b=2", [("a", "1"), ("b", "2")]),
        ('a="x;y"; c; =z; d = 4', [("a", "x;y"), ("c", ""), ("d", "4")]),
        ('a="\\303\\251\\"\\\\"', [("a", 'é"\\')]),
        ('a="1" 2; b=3', [("b", "3")]),
        ("a=1,b=2", [("a", "1,b=2")]),
        ('a="', []),
    ],
)
def test_cookies_of_a_request(text, found):
    assert cookies(text) == found


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("a=1&a=2&b&c=", [("a", "1"), ("a", "2"), ("b", ""), ("c", "")]),
        ("a=x+y%20z;b=1", [("a", "x y z;b=1")]),
        ("a=%C3%A9%ff%FEz", [("a", "é%FF%FEz")]),
        ("a=%&b=%2", [("a", "%"), ("b", "%2")]),
    ],
)
def test_pairs_of_a_query(text, pairs):
    assert query(text) == pairs


@pytest.mark.parametrize(
    ("text", "items"),
    [("", []), ("a, b ,,c", ["a", "b", "c"]), ('"a, b", c;d="e,f"', ["a, b", 'c;d="e,f"'])],
)
def test_items_of_a_list(text, items):
    assert comma_list(text) == items


@pytest.mark.parametrize(
    ("path", "query_string", "url"),
    [
        ("/score", b"", "http://h/score"),
        ("/a b/%C3%A9", b"", "http://h/a%20b/é"),
        ("/a%2Fb%3f", b"x=%C3%A9&y=%26%ff%20", "http://h/a%2Fb%3f?x=é&y=%26%FF%20"),
        ("/é", "x=é".encode(), "http://h/é?x=é"),
    ],
)
def test_urls_are_readable(path, query_string, url):
    assert readable_url("http://h", path, query_string) == url


def test_the_best_accepted_type_comes_first():
    accept = Accept.from_header("text/*;q=0.3, application/json, */*;q=0.1, bad;q=x, text/html;level=1;q=0.9")
    assert accept.values() == ["text/html; level=1", "application/json", "text/*", "*/*"]
    assert accept.best == "application/json"
    assert (accept.quality("TEXT/plain"), accept["x/y"], accept[1]) == (0.3, 0.1, ("application/json", 1.0))
    assert accept.best_match(["text/html", "application/json"]) == "application/json"
    assert accept.accept_json
    assert str(Accept.from_header("a/b;q=0.5, c/d")) == "c/d,a/b;q=0.5"


def test_nothing_is_accepted_without_a_header():
    accept = Accept.from_header("")
    assert (accept.best, accept.best_match(["a/b"], "x"), "a/b" in accept, accept.accept_html) == (
        None,
        "x",
        False,
        False,
    )
    assert Accept.from_header("application/xhtml+xml").accept_html


def test_basic_credentials():
    found = Authorization.from_header("basic dTpwOng=")
    assert found is not None
    assert (found.type, found.username, found.password, found.token) == ("basic", "u", "p:x", None)
    assert (found["username"], "password" in found, str(found)) == ("u", True, "Basic dTpwOng=")
    assert repr(found) == "<Authorization Basic>"


def test_bearer_tokens():
    found = Authorization.from_header("Bearer abc.def=")
    assert found is not None
    assert (found.type, found.token, found.get("x"), str(found)) == ("bearer", "abc.def=", None, "Bearer abc.def=")


def test_other_credentials():
    found = Authorization.from_header('Digest username="u", realm="a, b"')
    assert found is not None
    assert (found.username, found.get("realm")) == ("u", "a, b")
    assert str(found) == 'Digest username="u", realm="a, b"'


@pytest.mark.parametrize("text", [None, "", "Basic ###", "Basic 4pyo4"])
def test_credentials_that_cannot_be_read(text):
    assert Authorization.from_header(text) is None


def test_the_user_agent_is_a_name():
    agent = UserAgent("curl/7")
    assert (str(agent), agent.string, agent.platform, bool(agent)) == ("curl/7", "curl/7", None, True)
    assert repr(agent) == "<UserAgent 'curl/7'>"


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", "2015-10-21T07:28:00+00:00"),
        ("Wed, 21 Oct 2015 07:28:00 -0000", "2015-10-21T07:28:00+00:00"),
    ],
)
def test_dates_have_a_zone(text, iso):
    date = parse_date(text)
    assert date is not None
    assert date.isoformat() == iso


@pytest.mark.parametrize("text", [None, "", "yesterday", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_what_is_no_date_is_none(text):
    assert parse_date(text) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "k=; Path=/"),
        ({"value": "a b"}, 'k="a b"; Path=/'),
        ({"value": 'é;"\\'}, 'k="\\303\\251\\073\\"\\\\"; Path=/'),
        ({"max_age": 5, "expires": "x"}, "k=; Expires=x; Max-Age=5; Path=/"),
        (
            {
                "expires": 0,
                "path": "/a b;",
                "domain": ".ex.com:80",
                "secure": True,
                "httponly": True,
                "samesite": "lax",
            },
            "k=; Domain=ex.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; Path=/a%20b%3B; SameSite=Lax",
        ),
        ({"partitioned": True, "path": None}, "k=; Secure; Partitioned"),
    ],
)
def test_cookies_of_a_response(arguments, text):
    assert set_cookie("k", **arguments) == text


def test_an_age_is_sent_as_a_date_too():
    from datetime import timedelta

    assert "Expires=" in set_cookie("k", max_age=timedelta(minutes=1))
    assert "Max-Age=60" in set_cookie("k", max_age=timedelta(minutes=1))


def test_an_unknown_samesite_is_refused():
    with pytest.raises(ValueError, match="Strict"):
        set_cookie("k", samesite="maybe")


def test_dates_without_a_zone_are_utc():
    from datetime import datetime, timedelta, timezone

    assert http_date(datetime(2020, 1, 1)) == "Wed, 01 Jan 2020 00:00:00 GMT"
    assert http_date(datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == "Wed, 01 Jan 2020 00:00:00 GMT"
