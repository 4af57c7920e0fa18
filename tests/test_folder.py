"""A reader's own clips: read whole or refused by name, never half."""

import unicodedata

import pytest
import torch

from minisora.show.clip import Clip
from minisora.train.folder import read_folder


@pytest.fixture
def folder(batch, tmp_path):
    for i, ending in enumerate(("gif", "png", "webp")):
        Clip(batch.videos[i]).save(tmp_path / f"clip{i}.{ending}")
    Clip(torch.cat([batch.videos[3], batch.videos[3].flip(1)], dim=1)).save(tmp_path / "long.png")
    lines = [
        "file,caption",
        "clip0.gif,A red thing.",
        "clip1.png,blue thing",
        'clip2.webp,"one, two"',
        "long.png,there and back",
        "clip0.gif,again",
    ]
    (tmp_path / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_clips_and_captions_come_together(folder, batch):
    data = read_folder(folder)
    assert (
        data.videos.shape == (5, 3, 17, 32, 32)
        and data.videos.dtype == torch.uint8
        and not data.skipped
    )
    assert data.files == ["clip0.gif", "clip1.png", "clip2.webp", "long.png", "long.png"]
    assert data.captions[0] == ["A red thing.", "again"] and data.captions[2] == ["one, two"]
    assert data.vocabulary == tuple(
        sorted({"a", "red", "thing", "blue", "one", "two", "there", "and", "back", "again"})
    )
    truth = ((batch.videos[:4] + 1) * 127.5).round()
    assert torch.equal(data.videos[1].float(), truth[1]) and torch.equal(
        data.videos[4].float(), truth[3].flip(1)
    )


def test_other_sizes(folder):
    assert read_folder(folder, num_frames=9, height=24, width=40).videos.shape == (6, 3, 9, 24, 40)


def test_bad_files_are_named_and_refused_or_left_out(folder):
    (folder / "broken.gif").write_bytes((folder / "clip0.gif").read_bytes()[:40])
    Clip(torch.zeros(3, 5, 32, 32)).save(folder / "short.png")
    with open(folder / "captions.csv", "a") as file:
        file.write(
            "\nbroken.gif,one\nmissing.png,two\nshort.png,three\nclip1.png,\nempty.png,\nlong.png,"
            + "word " * 70
        )
    with pytest.raises(ValueError, match=r"5 of 8 files cannot be used .*skip") as error:
        read_folder(folder)
    for name, reason in (
        ("broken.gif", "cannot be read"),
        ("missing.png", "no file"),
        ("short.png", "5 frames"),
        ("empty.png", "caption is empty"),
        ("long.png", "70 words"),
    ):
        assert name in str(error.value) and reason in str(error.value)
    data = read_folder(folder, skip=True)
    assert (
        set(data.skipped) == {"broken.gif", "missing.png", "short.png", "empty.png", "long.png"}
        and len(data.videos) == 3
    )


@pytest.mark.slow
def test_a_model_learns_from_a_folder(folder, tmp_path, preset, monkeypatch, capsys):
    from minisora import config
    from minisora.cli.main import main
    from minisora.pipeline import MiniSora

    monkeypatch.setitem(config.PRESETS, "small", preset)
    (folder / "broken.gif").write_text("no film")
    with open(folder / "captions.csv", "a") as file:
        file.write("\nbroken.gif,one")
    words = [
        "minisora",
        "train",
        "--preset",
        "small",
        "--data",
        str(folder),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stop:
        main()
    assert (
        stop.value.code == 2
        and "broken.gif" in capsys.readouterr().err
        and not (tmp_path / "run").exists()
    )
    monkeypatch.setattr("sys.argv", [*words, "--skip-bad"])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().out
    assert not stop.value.code and "left out broken.gif" in said and "'A red thing.'" in said
    model = MiniSora.load(tmp_path / "run" / "model", "cpu")
    assert model.generate(model.upsample("a red thing"), num_inference_steps=1).shape == (
        1,
        3,
        17,
        32,
        32,
    )
    assert model.upsampler is None and not (tmp_path / "run" / "upsampler.safetensors").exists(), (
        "nobody says where things are"
    )
    with pytest.raises(ValueError, match="never met the word 'circle'"):
        model.generate("a circle")


@pytest.mark.parametrize(
    "table,message",
    [
        (None, "no captions.csv"),
        ("", "first line"),
        ("name,text\na,b", "first line"),
        ("file,caption\n", "lines under it"),
        ("file,caption\nnothing.png,a thing", "nothing.png"),
        ("file,caption\na.png,a thing, far away", "quotes"),
        (b"\xff\xfe\xfa", "UTF-8"),
    ],
)
def test_bad_tables_are_refused(tmp_path, table, message):
    if table is not None:
        (tmp_path / "captions.csv").write_bytes(
            table if isinstance(table, bytes) else table.encode()
        )
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


def captioned(folder, *captions):
    """The folder with other captions for its first clip."""
    lines = ["file,caption", *(f"clip0.gif,{caption}" for caption in captions)]
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return read_folder(folder)


@pytest.mark.parametrize("word", ["café", "ñandú", "Å", "हिन्दी", "한국"])
def test_two_ways_to_write_a_letter_are_one_word(folder, word):
    spellings = [unicodedata.normalize(form, word) for form in ("NFC", "NFD")]
    assert len(captioned(folder, *spellings).vocabulary) == 1


@pytest.mark.parametrize("words", [["x2"], ["y0"], ["x0", "x1"], ["x2", "y7"], ["from", "x2"]])
def test_a_readers_own_words_may_look_like_positions(folder, preset, words):
    from minisora.pipeline import MiniSora

    data = captioned(folder, " ".join(words))
    model = MiniSora(preset, data.vocabulary)
    assert model.generate(" ".join(words), upsample=False, num_inference_steps=1).isfinite().all()


def test_a_caption_may_be_as_long_as_the_text_encoder_reads(folder, preset):
    longest = preset.text.max_length - 1
    assert len(captioned(folder, "word " * longest).captions[0][0].split()) == longest
    with pytest.raises(ValueError, match=f"at most {longest} fit"):
        captioned(folder, "word " * (longest + 1))
