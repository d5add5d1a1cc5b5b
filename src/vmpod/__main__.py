"""`python -m vmpod`."""

from vmpod.cli.main import main

if __name__ == "__main__":
    main()
