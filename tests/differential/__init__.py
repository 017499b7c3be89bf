"""The reference server and ours side by side: same scripts, same requests, same answers."""
