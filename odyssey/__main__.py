"""`python -m odyssey` is the `odyssey` command."""

from odyssey.cli.main import entry_point

if __name__ == "__main__":
    entry_point()
