"""Scripts that serve a model for which nobody wrote one; each is what a user might have written."""
