import argparse
import sys

from .case import WAYS
from .replay import main

parser = argparse.ArgumentParser(prog="python -m tests.parity")
parser.add_argument("folder", metavar="DIR", help="of recordings")
parser.add_argument("way", nargs="?", choices=WAYS, default="plain", help="how the forward is run (plain)")
parser.add_argument("--device", default="cpu", help="as torch names it; where models and streams compute (cpu)")
arguments = parser.parse_args()
sys.exit(main(arguments.folder, arguments.way, arguments.device))
