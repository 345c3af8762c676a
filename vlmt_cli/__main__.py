"""``python -m vlmt_cli`` is ``vlmt``."""

from vlmt_cli.app import main

if __name__ == "__main__":
    main()
