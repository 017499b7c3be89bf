"""What a script needs: packages, variables, code; locked, and laid out."""
