"""Run stibgate as `python -m stibgate`."""

from stibgate.cli import main

if __name__ == "__main__":
    main()
