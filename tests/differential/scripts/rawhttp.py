"""A @rawhttp run() that answers with the view of the request that the header X-See names."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse


def plain(value):
    """Multi-valued things as lists of pairs, everything else as it is."""
    return [[key, list(values)] for key, values in value.lists()]


def upload(file):
    return {
        "name": file.name,
        "filename": file.filename,
        "content_type": file.content_type,
        "mimetype": file.mimetype,
        "data": file.read().decode("latin-1"),
        "again": file.read().decode("latin-1"),
        "rewound": (file.seek(0), file.stream.read().decode("latin-1"))[1],
    }


def saved(request):
    file = request.files["image"]
    file.save("upload.bin")
    with open("upload.bin", "rb") as stream:
        return stream.read().decode("latin-1")


def lines(request):
    return [line.decode() for line in request.stream]


VIEWS = {
    "method": lambda r: r.method,
    "full_path": lambda r: r.full_path,
    "path": lambda r: r.path,
    "url": lambda r: r.url,
    "base_url": lambda r: r.base_url,
    "host": lambda r: r.host,
    "host_url": lambda r: r.host_url,
    "url_root": lambda r: r.url_root,
    "root_url": lambda r: r.root_url,
    "root_path": lambda r: r.root_path,
    "script_root": lambda r: r.script_root,
    "scheme": lambda r: r.scheme,
    "is_secure": lambda r: r.is_secure,
    "remote_addr": lambda r: r.remote_addr,
    "access_route": lambda r: list(r.access_route),
    "query_string": lambda r: r.query_string.decode("latin-1"),
    "args": lambda r: plain(r.args),
    "args-get": lambda r: [r.args.get("a"), r.args.get("zz"), r.args.get("a", type=int), r.args.get("zz", "d")],
    "args-getlist": lambda r: [r.args.getlist("a"), r.args.getlist("a", type=int), r.args.getlist("zz")],
    "args-missing": lambda r: r.args["missing"],
    "args-to-dict": lambda r: [r.args.to_dict(), r.args.to_dict(flat=False), dict(r.args)],
    "args-iteration": lambda r: [list(r.args), list(r.args.items()), list(r.args.items(multi=True)), len(r.args)],
    "args-in": lambda r: ["a" in r.args, "zz" in r.args, bool(r.args)],
    "args-set": lambda r: r.args.__setitem__("a", "1"),
    "form": lambda r: plain(r.form),
    "form-missing": lambda r: r.form["missing"],
    "values": lambda r: [[key, list(values)] for key, values in sorted(r.values.lists())],
    "values-get": lambda r: [r.values.get("a"), r.values.getlist("a"), "a" in r.values],
    "data": lambda r: r.data.decode("latin-1"),
    "get_data": lambda r: r.get_data().decode("latin-1"),
    "get_data-false": lambda r: r.get_data(False).decode("latin-1"),
    "get_data-no-cache-twice": lambda r: [r.get_data(cache=False).decode(), r.get_data().decode()],
    "get_data-twice": lambda r: [r.get_data().decode("latin-1"), r.get_data().decode("latin-1")],
    "get_data-text": lambda r: r.get_data(as_text=True),
    "get_data-parse-form": lambda r: r.get_data(parse_form_data=True).decode("latin-1"),
    "data-then-form": lambda r: [r.data.decode("latin-1"), plain(r.form)],
    "get_data-then-form": lambda r: [r.get_data().decode("latin-1"), plain(r.form)],
    "form-then-get_data": lambda r: [plain(r.form), r.get_data().decode("latin-1")],
    "stream": lambda r: r.stream.read().decode("latin-1"),
    "stream-parts": lambda r: [r.stream.read(3).decode(), r.stream.read(2).decode(), r.stream.read().decode()],
    "stream-lines": lines,
    "stream-readline": lambda r: [r.stream.readline().decode(), r.stream.read().decode()],
    "stream-then-data": lambda r: [r.stream.read().decode(), r.get_data().decode()],
    "data-then-stream": lambda r: [r.get_data().decode(), r.stream.read().decode()],
    "json": lambda r: r.json,
    "get_json": lambda r: r.get_json(),
    "get_json-force": lambda r: r.get_json(force=True),
    "get_json-silent": lambda r: r.get_json(silent=True),
    "get_json-force-silent": lambda r: r.get_json(force=True, silent=True),
    "get_json-same-object": lambda r: r.get_json() is r.get_json(),
    "is_json": lambda r: r.is_json,
    "headers-get": lambda r: [r.headers.get("x-OTHER"), r.headers.get("zz"), r.headers.get("zz", "d")],
    "headers-item": lambda r: r.headers["X-Other"],
    "headers-missing": lambda r: r.headers["Missing"],
    "headers-in": lambda r: ["x-other" in r.headers, "zz" in r.headers],
    "headers-dict": lambda r: sorted(dict(r.headers).items()),
    "headers-list": lambda r: sorted(r.headers),
    "headers-getlist": lambda r: r.headers.getlist("X-Other"),
    "headers-keys": lambda r: sorted(r.headers.keys()),
    "headers-get-typed": lambda r: r.headers.get("X-Other", type=int),
    "content_type": lambda r: r.content_type,
    "mimetype": lambda r: r.mimetype,
    "mimetype_params": lambda r: r.mimetype_params,
    "content_length": lambda r: r.content_length,
    "content_encoding": lambda r: r.content_encoding,
    "cookies": lambda r: dict(r.cookies),
    "cookies-get": lambda r: [r.cookies.get("a"), r.cookies.get("zz", "d")],
    "user_agent": lambda r: [r.user_agent.string, str(r.user_agent)],
    "referrer": lambda r: r.referrer,
    "origin": lambda r: r.origin,
    "authorization": lambda r: [r.authorization.type, r.authorization.username, r.authorization.password],
    "authorization-none": lambda r: r.authorization,
    "accept": lambda r: [r.accept_mimetypes.best, "text/html" in r.accept_mimetypes],
    "files": lambda r: [[key, [upload(f) for f in values]] for key, values in r.files.lists()],
    "file": lambda r: upload(r.files["image"]),
    "file-read-only": lambda r: r.files["image"].read().decode("latin-1"),
    "file-missing": lambda r: r.files["missing"],
    "file-get-missing": lambda r: r.files.get("missing"),
    "file-save": saved,
    "file-bool": lambda r: [bool(f) for f in r.files.values()],
    "file-getlist": lambda r: [f.filename for f in r.files.getlist("image")],
    "files-and-form": lambda r: [sorted(r.files), plain(r.form), r.data.decode("latin-1")],
    "attribute-missing": lambda r: r.no_such_attribute,
    "isinstance": lambda r: isinstance(r, AMLRequest),
    "truth": lambda r: bool(r),
    "own-attribute": lambda r: (setattr(r, "mine", 1), r.mine)[1],
    "none": lambda r: None,
    "text": lambda r: "text",
    "own-response": lambda r: AMLResponse("own", 201, {"X-Mine": "1"}),
    "bad-request-500": lambda r: AMLResponse("bad request", 500),
    "fail": lambda r: 1 / 0,
}


def init():
    pass


@rawhttp
def run(request):
    return VIEWS[request.headers.get("X-See", "method")](request)
