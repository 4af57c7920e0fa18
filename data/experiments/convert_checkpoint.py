"""Write a saved model anew, under the names of this version.

python -m data.experiments.convert_checkpoint FOLDER
"""

import sys
from pathlib import Path

from minisora.pipeline import MiniSora


def convert(folder: Path) -> None:
    """Load a model of any version from a folder, and save it there as this version does."""
    model = MiniSora.load(folder, "cpu")
    model.save(folder)  # under second names, because the first ones are in use
    model.save(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
