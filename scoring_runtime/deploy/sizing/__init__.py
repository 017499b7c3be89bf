"""How much a service needs: by formula, and by measuring it."""
