"""MultiDict and FileStorage, with werkzeug's answers."""

import copy
import io
import pickle

import pytest

from scoring_runtime.api.datastructures import CombinedMultiDict, FileStorage, ImmutableMultiDict, MultiDict

PAIRS = [("a", "1"), ("a", "2"), ("b", "x")]


def test_the_first_value_is_what_a_dict_sees():
    values = MultiDict(PAIRS)
    assert (values["a"], values.get("a"), len(values), list(values), "a" in values) == ("1", "1", 2, ["a", "b"], True)
    assert list(values.items()) == [("a", "1"), ("b", "x")]
    assert (list(values.keys()), list(values.values())) == (["a", "b"], ["1", "x"])
    assert dict(values) == values.to_dict() == {"a": "1", "b": "x"}


def test_all_values_are_there_when_asked_for():
    values = MultiDict(PAIRS)
    assert (values.getlist("a"), values.getlist("zz")) == (["1", "2"], [])
    assert list(values.items(multi=True)) == PAIRS
    assert list(values.lists()) == [("a", ["1", "2"]), ("b", ["x"])]
    assert list(values.listvalues()) == [["1", "2"], ["x"]]
    assert values.to_dict(flat=False) == {"a": ["1", "2"], "b": ["x"]}
    assert repr(values) == f"MultiDict({PAIRS})"


def test_values_are_converted():
    values = MultiDict([("a", "1"), ("a", "x"), ("a", None)])
    assert (values.get("a", type=int), values.getlist("a", type=int)) == (1, [1])
    assert MultiDict({"a": "x"}).get("a", 5, type=int) == 5
    assert MultiDict().get("a", 5, type=int) == 5


def test_it_is_made_from_dicts_and_from_itself():
    assert MultiDict({"a": ["1", "2"], "b": "x", "c": []}) == MultiDict(PAIRS) == MultiDict(MultiDict(PAIRS))


def test_it_changes():
    values = MultiDict(PAIRS)
    values["a"] = "9"
    values.add("a", "10")
    values.setlist("c", ("1", "2"))
    values.update({"b": "y"}, d="z")
    assert values.setdefault("e", 1) == values.setdefault("e", 2) == 1
    values.setlistdefault("f", [1]).append(2)
    values.setlistdefault("f").append(3)
    assert values.to_dict(flat=False) == {
        "a": ["9", "10"],
        "b": ["x", "y"],
        "c": ["1", "2"],
        "d": ["z"],
        "e": [1],
        "f": [1, 2, 3],
    }


def test_it_shrinks():
    values = MultiDict({"a": ["1", "2"], "b": ["3"], "c": ["4"], "d": ["5"]})
    assert values.pop("a") == "1"
    assert values.pop("a", None) is None
    assert (values.poplist("b"), values.poplist("b")) == (["3"], [])
    assert values.popitem() == ("d", "5")
    assert values.popitemlist() == ("c", ["4"])
    for remove in (lambda: values.pop("zz"), values.popitem, values.popitemlist):
        with pytest.raises(KeyError):
            remove()


def test_an_empty_list_of_values_is_a_missing_key():
    values = MultiDict()
    values.setlist("a", [])
    assert values.get("a") is None
    assert list(values.items()) == []
    with pytest.raises(KeyError):
        values["a"]
    with pytest.raises(KeyError):
        values.popitem()


def test_copies_are_apart():
    values = MultiDict({"a": [[1]]})
    shallow, deep, own = copy.copy(values), copy.deepcopy(values), values.copy()
    values.add("a", 2)
    values["a"].append(3)
    assert (shallow.getlist("a"), deep.getlist("a"), own.getlist("a")) == ([[1, 3]], [[1]], [[1, 3]])
    assert pickle.loads(pickle.dumps(values)) == values


def test_dicts_are_joined():
    both = MultiDict({"a": 1}) | {"a": 2}
    assert both.getlist("a") == [1, 2]
    both |= {"b": 3}
    assert both["b"] == 3
    with pytest.raises(TypeError):
        MultiDict() | 5


def test_an_immutable_one_refuses_to_change():
    values = ImmutableMultiDict(PAIRS)
    for change in (
        lambda: values.__setitem__("a", 1),
        lambda: values.__delitem__("a"),
        lambda: values.add("a", 1),
        lambda: values.pop("a"),
        lambda: values.update({}),
        values.clear,
    ):
        with pytest.raises(TypeError, match="immutable"):
            change()
    assert copy.copy(values) is values
    assert {values: 1}[ImmutableMultiDict(PAIRS)] == 1


def test_the_copy_of_an_immutable_one_can_change():
    values = ImmutableMultiDict(PAIRS).copy()
    values["a"] = "9"
    assert type(values) is MultiDict


def test_combined_dicts_read_as_one():
    values = CombinedMultiDict([MultiDict({"a": 1}), MultiDict({"a": 2, "b": 3})])
    assert (values["a"], values.getlist("a"), values["b"], len(values)) == (1, [1, 2], 3, 2)
    assert repr(values) == "CombinedMultiDict([MultiDict([('a', 1)]), MultiDict([('a', 2), ('b', 3)])])"
    assert pickle.loads(pickle.dumps(values)) == values


def test_a_file_is_read_as_a_file():
    file = FileStorage(io.BytesIO(b"a\nb"), "x.txt", "f", "Text/Plain; charset=x", 3)
    assert (file.read(1), file.tell(), file.seek(0), list(file)) == (b"a", 1, 0, [b"a\n", b"b"])
    assert (file.content_type, file.mimetype, file.mimetype_params) == (
        "Text/Plain; charset=x",
        "text/plain",
        {"charset": "x"},
    )
    assert (file.content_length, file.filename, file.name, bool(file)) == (3, "x.txt", "f", True)
    assert repr(file) == "<FileStorage: 'x.txt' ('Text/Plain; charset=x')>"


def test_a_file_that_says_nothing():
    file = FileStorage()
    assert (file.read(), file.filename, file.mimetype, file.content_length, bool(file)) == (b"", None, "", 0, False)
    with pytest.raises(AttributeError, match="no attribute 'shape'"):
        _ = file.shape


def test_the_name_of_a_file_is_that_of_its_stream(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"1")
    with FileStorage(path.open("rb")) as file:
        assert file.filename == str(path)
    with open(bytes(path), "rb") as stream:
        assert FileStorage(stream).filename == str(path)
    special = io.BytesIO()
    special.name = "<stdin>"
    assert FileStorage(special).filename is None


def test_a_file_is_saved_to_a_path_or_a_file(tmp_path):
    FileStorage(io.BytesIO(b"1")).save(tmp_path / "a")
    FileStorage(io.BytesIO(b"2")).save(str(tmp_path / "b"))
    target = io.BytesIO()
    FileStorage(io.BytesIO(b"3")).save(target)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes(), target.getvalue()) == (b"1", b"2", b"3")


def test_closing_a_file_never_raises():
    class Broken:
        def close(self):
            raise OSError

    FileStorage(Broken()).close()


def test_methods_that_a_spooled_file_lacks_are_those_of_its_inner_file():
    class Old:  # as tempfile.SpooledTemporaryFile before Python 3.11
        def __init__(self):
            self._file = io.BytesIO(b"1")

    file = FileStorage(Old())
    assert file.seekable()
    with pytest.raises(AttributeError):
        _ = file.shape
