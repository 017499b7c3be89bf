"""MLServer as its documentation shows it: a custom MLModel, one parallel worker, the V2 protocol."""

from __future__ import annotations

import json

import plain_work
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Score(MLModel):
    async def load(self) -> bool:
        self.plain = plain_work.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        if hasattr(self.plain, "predict_array"):
            output = self._numbers(self.plain.predict_array(NumpyCodec.decode_input(payload.inputs[0])))
        elif hasattr(self.plain, "predict_frame"):
            output = self._numbers(self.plain.predict_frame(PandasCodec.decode_request(payload)))
        else:
            document = json.loads(StringCodec.decode_input(payload.inputs[0])[0])
            output = StringCodec.encode_output("answer", [json.dumps(self.plain.predict(document))])
        return InferenceResponse(model_name=self.name, outputs=[output])

    @staticmethod
    def _numbers(values: list[float]) -> ResponseOutput:
        return ResponseOutput(name="answer", shape=[len(values)], datatype="FP64", data=values)
