"""Entry of `python -m benchmarks.stream`."""

from .run import main

if __name__ == "__main__":
    main()
