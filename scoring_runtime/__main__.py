"""`python -m scoring_runtime` is `scoring-serve`."""

from scoring_runtime.cli.serve import main

if __name__ == "__main__":
    main()
