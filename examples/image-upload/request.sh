#!/bin/sh
# Uploads image.png, which make_image.py draws, to the service (default: http://127.0.0.1:5001).
picture="${2:-$(dirname "$0")/image.png}"
curl --silent --show-error "${1:-http://127.0.0.1:5001}/score" -F "image=@$picture;filename=image.png"
