"""Run it: `python -m benchmarks.gpu_run`."""

from .run import main

if __name__ == "__main__":
    main()
