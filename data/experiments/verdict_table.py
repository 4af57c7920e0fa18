"""The README's table of capabilities: `python -m data.experiments.verdict_table` prints it from data/results/capabilities.json."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results" / "capabilities.json"
CONTINUED = ("as asked", "same object", "track", "seam")
ROWS = {  # capability → figures
    "animate": ("as asked", "kept"),
    "extend forward": CONTINUED,
    "extend backward": CONTINUED,
    "connect": CONTINUED,
    "inpaint": CONTINUED,
    "loop": ("same object", "largest step"),
    "edit": ("obeyed", "stayed", "outside"),
    "minute": ("seconds itself", "in the last sixth", "area changed by e^"),
    "script": ("both, in order",),
    "real video": ("PSNR",),
}
WORDS = {
    "as asked": "all as asked",
    "kept": "given frame kept, dB",
    "same object": "the same object in every new frame",
    "track": "off its true track, half-widths",
    "seam": "jump of velocity at the seam, half-widths/s",
    "largest step": "largest step all the way round, half-widths",
    "obeyed": "colour as asked",
    "stayed": "other attributes stay",
    "outside": "change outside of the object, share of the range",
    "place": "the object's first place moved, half-widths",
    "seconds itself": "seconds in which the object is itself",
    "in the last sixth": "the same, last ten seconds",
    "area changed by e^": "area changed, log",
    "both, in order": "both motions, in order",
    "PSNR": "round trip, dB",
}


def cell(figure: dict | None) -> str:
    if not figure:
        return "–"
    if "value" in figure:
        return (
            f"{100 * figure['value']:.0f} % [{100 * figure['low']:.0f}, {100 * figure['high']:.0f}]"
        )
    digits = 1 if abs(figure["mean"]) >= 10 else 2
    return f"{figure['mean']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def markdown(table: dict) -> str:
    """The rows of the figures that tell most; the JSON has the others."""
    lines = [
        "| `--capability` | figure | made | baseline | truth, through the compressor |",
        "|---|---|---|---|---|",
    ]
    for name, figures in ROWS.items():
        for figure in figures:
            cells = [
                cell(table[name].get(way, {}).get(figure)) for way in ("made", "baseline", "truth")
            ]
            lines.append(f"| `{name}` | {WORDS[figure]} | {' | '.join(cells)} |")
    for strength, figures in table["restyle"].items():
        if strength != "baseline":
            new = table["restyle"]["baseline"]
            lines += [
                f"| `restyle`, {strength} | {WORDS[k]} | {cell(figures[k])} | {cell(new[k])} | – |"
                for k in ("obeyed", "stayed", "place")
            ]
    for size, ways in table["sizes"].items():
        lines.append(
            f"| `sizes`, {size} | all as asked | {cell(ways['made']['as asked'])} | {cell(ways['baseline']['as asked'])} | – |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(json.loads(RESULTS.read_text(encoding="utf-8"))))
