"""Images: built directly or by a Dockerfile, kept in the workspace, pushed and pulled."""
