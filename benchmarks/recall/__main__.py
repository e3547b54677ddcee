"""Entry of `python -m benchmarks.recall`."""

from .run import main

if __name__ == "__main__":
    main()
