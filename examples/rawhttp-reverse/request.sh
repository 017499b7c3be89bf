#!/bin/sh
# Sends eight bytes to the service (default: http://127.0.0.1:5001) and prints what comes back.
printf 'stressed' | curl --silent --show-error "${1:-http://127.0.0.1:5001}/score" --data-binary @-
