"""python -m minisora.cli"""

from minisora.cli.main import main

main()
