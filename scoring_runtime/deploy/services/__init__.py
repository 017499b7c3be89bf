"""Services: the verbs, their configuration, their record and their secrets."""
