"""Your own clips: a folder with films and a table of captions becomes what the trainings read.

    FOLDER/captions.csv:  file,caption          ── read_folder ──► Folder: videos, captions, words
                          walk.gif,a man walks
                          walk.gif,someone on foot

A file may stand in several lines, once for each of its captions. Every film is read whole or not at
all, and what is wrong with a file is said by name.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch

from minisora.config import TextConfig
from minisora.show.media import as_video
from minisora.text import words_of


@dataclass(frozen=True)
class Folder:
    """Clips of one size, each with at least one caption."""

    videos: torch.Tensor  # (M, 3, T, H, W) uint8
    captions: list[list[str]]  # of each clip
    files: list[str]  # that each clip was cut from
    skipped: dict[str, str]  # file → what is wrong with it

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All words of all captions, sorted."""
        words: set[str] = set()
        for captions in self.captions:
            for caption in captions:
                words.update(words_of(caption))
        return tuple(sorted(words))


def read_folder(
    folder: str | Path,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = 8.0,
    skip: bool = False,
    max_words: int = TextConfig.max_length - 1,
) -> Folder:
    """Read `captions.csv` and the films that it names; a long film is cut into several clips.

    Args:
        num_frames, height, width, fps: of the clips; films are cropped to the middle, resized, and
            read at that rate.
        skip: leave out files that cannot be used, and name them in `skipped`.
        max_words: of a caption; one less than `TextConfig.max_length`, because EOS takes a place.

    Raises:
        ValueError: no table, no usable film, or (without `skip`) files that cannot be used, each
            named with the reason.
    """
    folder = Path(folder)
    table = folder / "captions.csv"
    captions_of_files = _read_captions(table)
    videos: list[torch.Tensor] = []
    captions: list[list[str]] = []
    files: list[str] = []
    skipped: dict[str, str] = {}
    for name, texts in captions_of_files.items():
        try:
            _check_captions(texts, max_words)
            clips = _read_clips(folder / name, num_frames, height, width, fps)
        except ValueError as error:
            skipped[name] = str(error)
            continue
        videos += clips
        captions += [texts] * len(clips)
        files += [name] * len(clips)

    reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
    if skipped and not skip:
        raise ValueError(
            f"{len(skipped)} of {len(captions_of_files)} files cannot be used ({reasons}); "
            "mend them, or leave them out with skip=True (--skip-bad)"
        )
    if not videos:
        why = f" ({reasons})" if reasons else ""
        raise ValueError(f"{table} names no clip that can be used{why}")
    return Folder(torch.stack(videos), captions, files, skipped)


def _check_captions(captions: list[str], max_words: int) -> None:
    if not captions:
        raise ValueError("its caption is empty")
    for caption in captions:
        count = len(words_of(caption))
        if count > max_words:
            raise ValueError(f"a caption of {count} words is too long; at most {max_words} fit")


def _read_clips(
    path: Path, num_frames: int, height: int, width: int, fps: float
) -> list[torch.Tensor]:
    """Cut a film into clips (3, num_frames, H, W) uint8; it gives one at least."""
    film = as_video(path, height, width, fps)
    length = film.shape[1]
    if length < num_frames:
        raise ValueError(
            f"{length} frames at {fps:g} a second are too few; a clip has {num_frames}"
        )
    clips = []
    for start in range(0, length - num_frames + 1, num_frames):
        clip = film[:, start : start + num_frames]
        clips.append(((clip + 1) * 127.5).round().byte())
    return clips


def _read_captions(table: Path) -> dict[str, list[str]]:
    """File → its captions."""
    if not table.is_file():
        raise ValueError(
            f"{table.parent} has no {table.name}; it should have a line 'file,caption' "
            "and then one line for each clip"
        )
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{table} cannot be read as a table ({error}); save it as CSV in UTF-8"
        ) from None
    if not rows or not {"file", "caption"} <= set(rows[0]):
        raise ValueError(f"{table} needs a first line 'file,caption' and lines under it")
    captions: dict[str, list[str]] = {}
    for row in rows:
        if None in row:
            raise ValueError(
                f"{table}: the line of {row['file']!r} has too many columns; "
                "put a caption that has commas in quotes"
            )
        of_file = captions.setdefault((row["file"] or "").strip(), [])
        caption = (row["caption"] or "").strip()
        if words_of(caption):
            of_file.append(caption)
    return captions
