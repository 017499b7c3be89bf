"""A workspace: the folder in which models, environments, images and services are kept."""
