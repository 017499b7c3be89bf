"""`async def run`: while one request waits for another service, the next ones are worked on."""

import asyncio
import json


def init():
    global in_flight, most
    in_flight = most = 0


async def run(raw_data):
    global in_flight, most
    in_flight += 1
    most = max(most, in_flight)
    try:
        seconds = json.loads(raw_data)["wait"]
        await asyncio.sleep(seconds)  # stands for a call to a feature store or another model
    finally:
        in_flight -= 1
    return {"waited": seconds, "most_at_a_time": most}
