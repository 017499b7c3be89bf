"""Messages are acknowledged when they are settled, not when they arrive: what dies unscored, the hub sends again.

azure-iot-device acknowledges at once and keeps what it has read without a limit. Its MQTT client is made to wait here;
the hub then stops at its window of unacknowledged messages, which is the back-pressure.
"""

from __future__ import annotations

import threading
from typing import Any

from scoring_runtime.errors import SettingsError

__all__ = ["Held", "install", "settle"]

INPUTS = "/inputs/"


class Held(bytes):
    """A payload that knows how to acknowledge its message; it passes through the SDK as the message's data."""

    connection: Any = None
    number: int = 0


def install() -> None:
    """Make every client that azure-iot-device creates from now on hold its acknowledgements."""
    try:
        from azure.iot.device.common import mqtt_transport as transport
    except ModuleNotFoundError:
        raise SettingsError(
            "scoring-iot", "no azure-iot-device", "the extra iot", "Run: pip install 'scoring-runtime[iot]'"
        ) from None
    module: Any = transport
    base = module.mqtt.Client
    if getattr(base, "holds", False):
        return
    missing = [name for name in ("_handle_on_message", "_send_puback") if not hasattr(base, name)]
    if missing:
        raise SettingsError("paho-mqtt", f"no {missing[0]}", "paho-mqtt 1.6", "Run: pip install 'paho-mqtt<2'")
    # The transport names the class through the module paho.mqtt.client, which other code may share: only ours changes.
    module.mqtt = Namespace(module.mqtt, holding(base))


class Namespace:
    """paho.mqtt.client with another Client."""

    def __init__(self, module: Any, client: type) -> None:
        self.__dict__.update(vars(module))
        self.Client = client


def holding(base: Any) -> Any:
    """A subclass of paho's client that keeps back the acknowledgements of input messages."""

    class HoldingClient(base):  # type: ignore[misc]
        holds = True

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._held: dict[int, Held] = {}
            self._held_lock = threading.Lock()
            super().__init__(*args, **kwargs)

        def _handle_on_message(self, message: Any) -> None:
            if message.qos == 1 and INPUTS in message.topic:
                with self._held_lock:
                    known = self._held.get(message.mid)
                    if known is not None and message.dup and known == message.payload:
                        return  # sent again after a reconnect, and still being scored
                    held = Held(message.payload)
                    held.connection, held.number = self, message.mid
                    self._held[message.mid] = held
                message.payload = held
            super()._handle_on_message(message)

        def _send_puback(self, mid: int) -> Any:
            with self._held_lock:
                if mid in self._held:
                    return 0  # MQTT_ERR_SUCCESS: settle() does it
            return super()._send_puback(mid)

        def settle(self, held: Held) -> None:
            with self._held_lock:
                if self._held.get(held.number) is not held:
                    return  # the number was given to another message since
                del self._held[held.number]
            super()._send_puback(held.number)

    return HoldingClient


def settle(message: Any) -> None:
    """Tell the hub that it need not send this message again."""
    if isinstance(message.data, Held):
        message.data.connection.settle(message.data)
