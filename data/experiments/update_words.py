"""Give a shipped model the rewordings of today: `python -m data.experiments.update_words base`.

Rewordings are no weights: a model that was trained before a phrase was added knows it from then on.
"""

import json
import sys

from minisora.checkpoints import write_text
from minisora.pipeline import SHIPPED
from minisora.world.rewordings import REWORDINGS


def main() -> None:
    path = SHIPPED / sys.argv[1] / "model.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    about["rewordings"] = REWORDINGS
    write_text(path, json.dumps(about, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
