"""An image uploaded by an HTML form or by curl -F: size, mode and mean colour."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from PIL import Image, UnidentifiedImageError


def init():
    pass


@rawhttp
def run(request: AMLRequest):
    if "image" not in request.files:
        return AMLResponse({"message": "send a file in the field 'image'"}, 400, json_str=True)
    upload = request.files["image"]
    try:
        image = Image.open(upload)
    except UnidentifiedImageError:
        return AMLResponse({"message": f"{upload.filename} is not an image"}, 400, json_str=True)
    pixel = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return {"file": upload.filename, "width": image.width, "height": image.height, "mean": pixel}
