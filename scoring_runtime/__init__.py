"""scoring-runtime: a score.py becomes a production HTTP service, an image, or a batch job.

Start reading here:

- `cli.serve`      the command `scoring-serve score.py`
- `settings`       every setting, one row each
- `script`         loads score.py and finds init() and run()
- `api`            what a score.py may import: rawhttp, AMLRequest, AMLResponse, Model
- `schemas`        what run()'s decorators declare, and how JSON becomes its arguments
- `server`         front (sockets, queue) -> worker (init, run); the arbiter keeps both alive
- `batch`          plan -> workers -> commits -> assembly: files and tables scored exactly once
"""

__version__ = "0.1.0"
