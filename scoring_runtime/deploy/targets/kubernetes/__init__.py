"""Services on a Kubernetes cluster: documents are made by pure functions, and one thin client applies them."""
