"""``python -m cnnext``."""

import sys

from cnnext.cli import main

if __name__ == "__main__":
    sys.exit(main())
