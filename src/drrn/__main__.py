"""`python -m drrn` is `drrn`."""

from drrn.apps.cli import main

if __name__ == "__main__":
    main()
