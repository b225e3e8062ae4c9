"""`python -P -m cli`: the `aitoken` command of this very interpreter."""

from cli.main import main

if __name__ == "__main__":
    main()
