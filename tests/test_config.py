"""Presets: what no model can have is refused in one sentence, at once."""

import json
from dataclasses import replace

import pytest

from minisora.config import (
    PLAY_PRESETS,
    PRESETS,
    DiTConfig,
    PlayPreset,
    Preset,
    TextConfig,
    TrainConfig,
    VAEConfig,
)
from minisora.pipeline import MiniSora

NAN, INF = float("nan"), float("inf")


def test_a_preset_comes_back_from_json():
    for preset in PRESETS.values():
        assert Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset
    for played in PLAY_PRESETS.values():
        assert PlayPreset.from_dict(json.loads(json.dumps(played.to_dict()))) == played
    without = replace(PRESETS["tiny"], upsampler=None)
    assert Preset.from_dict(json.loads(json.dumps(without.to_dict()))) == without


@pytest.mark.parametrize(
    "change",
    [
        {"upsampler": TextConfig(hidden_size=8, depth=65, num_heads=2)},
        {"upsampler": TextConfig(hidden_size=8, depth=1, num_heads=2, max_length=2000)},
        {"num_frames": 4097, "height": 8, "width": 8, "other_sizes": ()},
        {"other_sizes": ((4097, 8, 8),)},
    ],
    ids=["depth", "max_length", "num_frames", "other_sizes"],
)
def test_what_a_preset_takes_can_be_saved_and_loaded(preset, change, tmp_path):
    """The reader of model.json had bounds of its own, and refused models that were trained."""
    model = MiniSora(replace(preset, **change), ["red"])
    model.save(tmp_path / "model")
    assert MiniSora.load(tmp_path / "model", "cpu").preset == model.preset


@pytest.mark.parametrize(
    "field,values",
    {
        "shift": [0, -1.0, NAN, INF, "3", None],
        "fps": [0, -8, 8.5, NAN, True],
        "num_frames": [0, -17, 16, 17.0, "17", None, 10**9 * 4 + 1],
        "height": [0, -32, 30, NAN],
        "width": [0, -32, 33, [32]],
        "other_sizes": [((17, 32),), ((16, 32, 32),), ((17, 32, 30),), ((0, 0, 0),), 5, None],
        "other_fraction": [-0.1, 0.25, NAN],
        "prompt_dropout_prob": [1.5, NAN, -1],
        "kl_weight": [NAN, INF, -1],
        "noise_augmentation": [NAN, 2],
        "curriculum_steps": [-1, 0.5],
        "vae": [None, 3, {}, TextConfig()],
        "dit": [None, DiTConfig(text_size=64), DiTConfig(latent_channels=8)],
        "upsampler": [0, "yes"],
        "train_dit": [None, {"minutes": 1}],
    }.items(),
)
def test_a_preset_refuses_what_no_model_can_have(field, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{field}\b[^\n]{{5,300}}$"):  # it names the field
            replace(PRESETS["tiny"], **{field: value})


@pytest.mark.parametrize(
    "make,options",
    [
        (DiTConfig, {"depth": 10**9}),
        (DiTConfig, {"depth": 0}),
        (DiTConfig, {"hidden_size": 10_000, "depth": 256, "num_heads": 4}),
        (DiTConfig, {"hidden_size": 256, "num_heads": 7}),
        (DiTConfig, {"hidden_size": 12, "num_heads": 4}),
        (DiTConfig, {"mlp_ratio": NAN}),
        (DiTConfig, {"patch_size": (1, 2)}),
        (DiTConfig, {"patch_size": (0, 2, 2)}),
        (DiTConfig, {"patch_size": (1, 2.0, 2)}),
        (VAEConfig, {"latent_channels": -1}),
        (VAEConfig, {"window": 0}),
        (TextConfig, {"max_length": 10**12}),
        (TrainConfig, {"minutes": NAN}),
        (TrainConfig, {"minutes": -1.0}),
        (TrainConfig, {"learning_rate": INF}),
        (TrainConfig, {"batch_size": 0}),
        (TrainConfig, {"steps": 0}),
        (TrainConfig, {"ema_decay": 1.5}),
    ],
)
def test_a_part_refuses_what_no_network_can_have(make, options):
    with pytest.raises(ValueError, match=r"^[^\n]{10,300}$"):
        make(**options)


@pytest.mark.parametrize(
    "values,named",
    [
        ([], "names and values"),
        ("tiny", "names and values"),
        ({"hight": 32}, "'hight'.*'height'"),
        ({"vae": {"hiden_size": 64}}, "'hiden_size'.*'hidden_size'"),
        ({"dit": [1, 2]}, "DiTConfig"),
        ({"vae": {"patch_size": [[4], 4, 4]}}, "patch_size"),
        ({"shift": {"a": {"b": {}}}}, "shift"),
    ],
)
def test_a_preset_of_the_wrong_types_is_one_sentence(values, named):
    with pytest.raises(ValueError, match=named):
        Preset.from_dict(values)


@pytest.mark.parametrize(
    "values,named",
    [
        ("play-tiles", "names and values"),
        ({"contxt": 4}, "'contxt'.*'context'"),
        ({"dit": {"hiden_size": 64}}, "'hiden_size'.*'hidden_size'"),
        ({"dit": [1, 2]}, "DiTConfig"),
        ({"train": None}, "TrainConfig"),
    ],
)
def test_a_games_preset_of_the_wrong_types_is_one_sentence(values, named):
    with pytest.raises(ValueError, match=named):
        PlayPreset.from_dict(values)


def test_heads_that_do_not_divide_name_the_nearest_size():
    with pytest.raises(ValueError, match="7 heads of an even size; 252 would"):
        DiTConfig(hidden_size=256, num_heads=7)


def test_a_gpu_has_numbers_of_its_own_in_every_preset():
    for preset in PRESETS.values():
        on_gpu = preset.on_gpu()
        assert on_gpu.vae_clips > preset.vae_clips and on_gpu.cached_clips > preset.cached_clips
        assert on_gpu.train_dit.batch_size == preset.train_dit.gpu_batch_size == 512
        assert on_gpu.train_dit.learning_rate == preset.train_dit.learning_rate
    assert replace(PRESETS["tiny"], gpu_vae_clips=None).on_gpu().vae_clips == 6_000
    for played in PLAY_PRESETS.values():
        train = played.on_gpu().train
        assert train.batch_size == played.train.gpu_batch_size > played.train.batch_size
        assert replace(train, batch_size=played.train.batch_size) == played.train
    with pytest.raises(ValueError, match="gpu_batch_size=0"):
        TrainConfig(gpu_batch_size=0)
