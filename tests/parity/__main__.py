import sys

from .case import WAYS
from .replay import main

fits = len(sys.argv) == 2 or (len(sys.argv) == 3 and sys.argv[2] in WAYS)
sys.exit(main(*sys.argv[1:]) if fits else f"usage: python -m tests.parity DIR [{' | '.join(WAYS)}]")
