"""What trainings read: sources of clips, and latents that were encoded once."""

from dataclasses import replace

import pytest
import torch

from minisora.checkpoints import load_tensors
from minisora.text import PAD
from minisora.train.data import (
    Latents,
    cache_latents,
    cached_latents,
    draw_size,
    folder_source,
    fractions_of_sizes,
    render_pool,
    world_of,
    world_source,
)
from minisora.train.folder import Folder


@pytest.fixture
def small(preset):
    """One size, few clips."""
    return replace(preset, other_sizes=(), cached_clips=6, vae_clips=4)


@pytest.fixture(autouse=True)
def few_held_back(monkeypatch):
    monkeypatch.setattr("minisora.train.data.HELD_BACK", 4)


def test_latents_are_normalised_and_captions_go_with_their_clips(model, preset):
    world = world_of(preset)

    def clips(start, size):
        batch = world.batch(start, size)
        return batch.videos, [[caption, "a red circle"] for caption in batch.captions]

    data = cache_latents(model.vae, model.tokenizer, clips, 12, progress=False, chunk=5)
    assert data.latents.shape == (12, preset.vae.latent_channels, 5, 8, 8)
    assert data.ids.shape[:2] == (12, 2)
    values = data.latents.float()
    assert values.mean((0, 2, 3, 4)).abs().max() < 1e-2
    assert (values.std((0, 2, 3, 4)) - 1).abs().max() < 1e-2
    row = model.tokenizer([world.batch(7, 1).captions[0]])[0][0]
    assert data.ids[7, 0, : len(row)].tolist() == row.tolist()
    latents, ids, mask = data.draw(6, torch.Generator().manual_seed(0))
    assert latents.shape == (6, preset.vae.latent_channels, 5, 8, 8)
    assert ((ids != PAD) == mask).all()


def test_kept_latents_name_the_compressor_that_they_come_from(model, small, tmp_path, monkeypatch):
    source = world_source(small)
    path = tmp_path / "latents.safetensors"
    encoded = []
    encode = model.vae.encode
    monkeypatch.setattr(model.vae, "encode", lambda x: encoded.append(len(x)) or encode(x))

    def latents(compressor):
        encoded.clear()
        return cached_latents(model.vae, model.tokenizer, source, path, compressor, progress=False)

    first = latents("a")
    assert sum(encoded) == 6 and load_tensors(path)[1]["compressor"] == "a"
    mean, std = model.vae.latents_mean.clone(), model.vae.latents_std.clone()
    model.vae.latents_mean.zero_()
    again = latents("a")
    assert not encoded and torch.equal(again[0].latents, first[0].latents)
    assert torch.equal(model.vae.latents_mean, mean) and torch.equal(model.vae.latents_std, std)
    assert again[0].paired
    latents("b")
    assert sum(encoded) == 6, "another compressor, other latents"


def test_captions_with_positions_are_drawn_as_often_as_their_fraction_says():
    ids = torch.tensor([[[2], [3], [4], [5]]]).to(torch.int16)
    data = Latents(torch.zeros(1, 1), ids, paired=True)

    def seen(fraction):
        drawn = data.draw(400, torch.Generator().manual_seed(0), fraction)[1]
        return drawn.flatten().bincount(minlength=6)[2:] / 400

    assert (seen(None) - 0.25).abs().max() < 0.08
    assert seen(1.0).tolist()[::2] == [0, 0]
    assert (seen(1.0)[1::2] - 0.5).abs().max() < 0.1
    assert (seen(0.8) - torch.tensor([0.1, 0.4, 0.1, 0.4])).abs().max() < 0.08
    plain, detailed = data.draw_pairs(50, torch.Generator().manual_seed(0))
    assert set(plain.flatten().tolist()) == {4}, "the last pair is the one that says positions"
    assert torch.equal(detailed, plain + 1)


def test_sizes_are_drawn_as_often_as_their_fractions_say():
    generator = torch.Generator().manual_seed(0)
    fractions = fractions_of_sizes(3, 0.25)
    drawn = torch.tensor([draw_size(fractions, generator) for _ in range(400)])
    assert (drawn.bincount() / 400 - torch.tensor([0.5, 0.25, 0.25])).abs().max() < 0.08


def test_the_world_comes_in_every_size_and_smaller_clips_are_more(preset):
    sizes = ((1, 32, 32), (17, 24, 40))
    wanted = replace(preset, cached_clips=200, vae_clips=4, other_sizes=sizes, other_fraction=0.25)
    source = world_source(wanted)
    assert [bucket.fraction for bucket in source.buckets] == [0.5, 0.25, 0.25]
    assert [bucket.count for bucket in source.buckets] == [200, 500, 106]
    shapes = [(17, 32, 32), (1, 32, 32), (17, 24, 40)]
    assert [bucket.clips(0, 2)[0].shape[2:] for bucket in source.buckets] == shapes
    assert [pool.shape[2:] for pool in source.pools()] == shapes
    assert [len(pool) for pool in source.pools()] == [4, 10, 2]


def test_the_compressor_is_measured_in_the_presets_size(preset):
    wanted = replace(preset, num_frames=9, height=24, width=40, other_sizes=())
    assert world_source(wanted).held_back.shape == (4, 3, 9, 24, 40)


def test_plain_captions_begin_their_detailed_ones(model, small):
    source = world_source(replace(small, captions_per_clip=4))
    _, several = source.buckets[0].clips(0, 16)
    ids, _ = model.tokenizer([text for captions in several for text in captions])
    ids = ids.view(16, 4, -1)
    plain, detailed = ids[:, ::2], ids[:, 1::2]
    words = (plain > 1).sum(-1, keepdim=True)
    after = torch.arange(ids.shape[-1]) >= words
    assert ((detailed == plain) | after).all()
    assert ((detailed > 1).sum(-1) >= words[..., 0] + 3).all()
    with pytest.raises(ValueError, match="captions_per_clip=3 is odd"):
        world_source(replace(small, captions_per_clip=3))


def test_a_pool_is_the_worlds_first_clips(preset):
    world = world_of(preset)
    pool = render_pool(world, 3)
    assert pool.dtype == torch.uint8
    assert torch.equal(pool, ((world.batch(0, 3).videos + 1) * 127.5).round().byte())


def folder_of(films, clips_a_film):
    """A folder in which every clip has a colour of its own."""
    count = films * clips_a_film
    videos = torch.arange(count, dtype=torch.uint8)[:, None, None, None, None]
    files = [f"film{i // clips_a_film}" for i in range(count)]
    return Folder(videos.expand(-1, 3, 5, 8, 8), [[file] for file in files], files, {})


def colors(videos):
    """The clips of `folder_of` by their numbers."""
    return set(((videos[:, 0, 0, 0, 0] + 1) * 127.5).round().int().tolist())


def test_whole_films_are_held_back():
    folder = folder_of(films=20, clips_a_film=5)
    source = folder_source(folder, most=1000)
    (bucket,) = source.buckets
    trained = colors(bucket.clips(0, bucket.count)[0])
    measured = {i for i in range(100) if folder.files[i] in ("film0", "film10")}
    assert colors(source.held_back) <= measured
    assert trained == set(range(100)) - measured, "no film is on both sides"
    assert len(source.pools()[0]) == 90 and len(folder_source(folder, most=7).pools()[0]) == 7


def test_of_few_films_none_is_held_back():
    source = folder_source(folder_of(films=3, clips_a_film=20), most=1000)
    assert source.buckets[0].count == 60 and len(source.held_back) > 0


def test_a_clip_with_fewer_captions_repeats_them():
    folder = folder_of(films=2, clips_a_film=1)
    captions = [["one", "two", "three"], ["four"]]
    source = folder_source(Folder(folder.videos, captions, folder.files, {}), most=10)
    assert source.buckets[0].clips(0, 2)[1] == [["one", "two", "three"], ["four"] * 3]
