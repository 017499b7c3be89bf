"""BentoML as its documentation shows it: one service, one worker, the input's type declared where it has one."""

from __future__ import annotations

from typing import Any

import bentoml
import numpy as np
import plain_work

plain = plain_work.load()

if hasattr(plain, "predict_array"):

    @bentoml.service(workers=1)
    class Score:
        @bentoml.api(route="/score")
        def score(self, data: np.ndarray) -> list[float]:
            return plain.predict_array(data)

elif hasattr(plain, "predict_frame"):
    import pandas as pd

    @bentoml.service(workers=1)
    class Score:  # type: ignore[no-redef]
        @bentoml.api(route="/score")
        def score(self, data: pd.DataFrame) -> list[float]:
            return plain.predict_frame(data)

else:

    @bentoml.service(workers=1)
    class Score:  # type: ignore[no-redef]
        @bentoml.api(route="/score")
        def score(self, document: dict[str, Any], /) -> dict[str, Any]:
            return plain.predict(document)
