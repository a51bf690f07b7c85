"""`python -m rlnotes.cli` is `rlnotes`, in a record's command line too."""

import sys

from rlnotes.cli import main

if __name__ == "__main__":
    sys.argv[0] = "rlnotes"
    raise SystemExit(main())
