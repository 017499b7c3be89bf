"""A scoring server as an IoT Edge module: messages of an input route are scored, answers go to an output route."""
