"""Entry of `python -m benchmarks.story_protocol`."""

from .command import main

if __name__ == "__main__":
    main()
