"""Services as modules of IoT Edge devices: a deployment manifest, its rules, and the az command that sets it."""
