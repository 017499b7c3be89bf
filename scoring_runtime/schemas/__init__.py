"""What run()'s decorators declare, and how JSON becomes its arguments.

install()          cure inference-schema the moment a script imports it
describe(run)      Declared, or None for a run() without schema decorators; Declared has the target to call, and
                   convert(body) and convert_values(parsed), which give its keyword arguments
"""

from scoring_runtime.schemas.cures import install
from scoring_runtime.schemas.declared import Declared, describe

__all__ = ["Declared", "describe", "install"]
