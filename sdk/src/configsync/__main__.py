"""`python -m configsync`: the command line."""

from configsync.cli import main

if __name__ == "__main__":
    main()
