"""minisora: a whole Sora, small enough to read. What a notebook needs, on one screen, and the words that all files use:

video, clip       numbers (3 colours, T frames, H rows, W columns) in [-1, 1]; with a B in front, a batch of them
scene, look       what is true of a clip, as data; a shape in a colour (in a training, a look is a glance at samples)
stage             one of four trainings in a row: compressor, language, upsampler, transformer; of a scene, the empty background
judge             a program that reads pixels back into objects and motions, with nothing learned
attention         every vector of a row reads from the others, most where their key (what they offer) fits its query (what it seeks); in several heads at once
MLP, block        two linear layers with a bend between; attention followed by an MLP, each added to what came in; a transformer is blocks in a row
VAE, compressor   a network that writes a video with far fewer numbers (encoder) and reads it back (decoder)
cell, latents     4 × 4 × 4 pixels; the few numbers (channels) that stand for each cell
latent frame      the cells of one time; frame 0 has one to itself, every later four share one, so that clips have 4k + 1 frames
KL                what latents tell beyond pure noise, in nats (bits, by the natural logarithm); training pays for it with `kl_weight`
token, patch      2 × 2 cells as one vector, which has a place, a noise level and a prompt; any piece cut out so (of pixels: a cell)
noise level σ     the share of noise (normal random numbers, mean 0, deviation 1) in a token: 0 is clean, 1 is noise; `shift` raises it
given, mask       tokens that are clean already, which is how a picture or a clip is a prompt; which vectors may read from which
bucket, packing   batches of one size each; clips of several sizes side by side in one row
velocity          noise minus clean, which the diffusion transformer (DiT) predicts; small steps against it make noise into a clip (diffusion)
prompt, guidance  a sentence; going further in the direction in which it differs from the empty one (the null prompt)
upsampler          a small language model that adds to a prompt where things are, as squares of a board of 32 × 32: "at x16 y18"
dropout           here: emptying a share of the prompts in training, so that the null prompt means something
EMA               a running average of the weights, which is what gets shipped
letters           N tokens of D numbers (d a head) read from M, or a data set of M clips; P numbers in a patch; S words; Cz, Tz, Hz, Wz: C, T, H, W of latents
"""

import minisora.threads  # noqa: F401 (before torch is loaded)
from minisora.config import PRESETS, Preset
from minisora.measure.judge import judge, read, verdict
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, gallery
from minisora.world.captions import caption, parse
from minisora.world.dataset import ToyWorld, sample_scene
from minisora.world.render import render
from minisora.world.scene import Scene, SceneObject, simulate

__version__ = "0.1.0"
__all__ = [
    "PRESETS",
    "Clip",
    "MiniSora",
    "Preset",
    "Scene",
    "SceneObject",
    "ToyWorld",
    "caption",
    "gallery",
    "judge",
    "parse",
    "read",
    "render",
    "sample_scene",
    "simulate",
    "verdict",
]
