"""Checkers for the exercises: each takes a function, says what is wrong, and prints no answer."""

from .n00 import check_count_tokens, check_failure, check_guide
from .n01 import check_describe, check_find, check_leaked, check_thrown
from .n02 import check_causal_conv, check_find_collapsed, check_kl, check_reparameterise
from .n03 import check_packing_mask, check_patchify_line, check_positions, check_rotary_1d
from .n04 import (
    check_conditioning_sigma,
    check_fraction_below,
    check_from_velocity,
    check_noised,
    check_v_from_noise,
)
from .n05 import check_ddim_step, check_gaussian_velocity, check_heun_step, check_renoise
from .n06 import check_adaln_zero, check_attention, check_count_parameters, check_relative
from .n07 import check_ema_step, check_learning_rate, check_repairs, check_trivial_losses
from .n08 import check_contrastive_loss, check_guided_velocity, check_tokenize, check_unseen_pairs
from .n09 import check_extend_by_hand, check_fading_sigma, check_kept_subject, check_outpaint_sigma
from .n12 import check_better, check_preference_error, check_velocity_error, check_wilson
from .n14 import check_cache, check_leaky_frames, check_memory

__all__ = [
    "check_adaln_zero",
    "check_attention",
    "check_better",
    "check_cache",
    "check_causal_conv",
    "check_conditioning_sigma",
    "check_contrastive_loss",
    "check_count_parameters",
    "check_count_tokens",
    "check_ddim_step",
    "check_describe",
    "check_ema_step",
    "check_extend_by_hand",
    "check_fading_sigma",
    "check_failure",
    "check_find",
    "check_find_collapsed",
    "check_fraction_below",
    "check_from_velocity",
    "check_gaussian_velocity",
    "check_guide",
    "check_guided_velocity",
    "check_heun_step",
    "check_kept_subject",
    "check_kl",
    "check_leaked",
    "check_leaky_frames",
    "check_learning_rate",
    "check_memory",
    "check_noised",
    "check_outpaint_sigma",
    "check_packing_mask",
    "check_patchify_line",
    "check_positions",
    "check_preference_error",
    "check_relative",
    "check_renoise",
    "check_repairs",
    "check_reparameterise",
    "check_rotary_1d",
    "check_thrown",
    "check_tokenize",
    "check_trivial_losses",
    "check_unseen_pairs",
    "check_v_from_noise",
    "check_velocity_error",
    "check_wilson",
]
