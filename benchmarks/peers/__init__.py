"""The peers' services, one module a server; each runs in its server's own environment and hosts any work's plain.py."""
