"""Checkers for the exercises: each takes your function, says what is wrong and how far off, and never prints the answer."""

from .n00 import check_count_tokens, check_failure, check_guide
from .n01 import check_describe, check_find, check_leaked, check_thrown
from .n02 import check_causal_conv, check_find_collapsed, check_kl, check_reparameterise
from .n03 import check_packing_mask, check_patchify_line, check_places, check_rotary_1d
from .n04 import (
    check_from_velocity,
    check_levels_given,
    check_noised,
    check_share_drowned,
    check_v_from_noise,
)
from .n05 import check_ddim_step, check_gaussian_velocity, check_heun_step, check_renoise
from .n06 import check_adaln_zero, check_attention, check_count_parameters, check_relative
from .n07 import check_ema_step, check_learning_rate, check_repairs, check_trivial_losses
from .n08 import check_contrastive_loss, check_guided_velocity, check_tokenize, check_unseen_looks
from .n09 import check_fading_levels, check_go_on, check_kept_subject, check_outpaint_levels
from .n12 import check_better, check_preference_error, check_velocity_error, check_wilson

__all__ = [
    "check_adaln_zero",
    "check_attention",
    "check_better",
    "check_causal_conv",
    "check_contrastive_loss",
    "check_count_parameters",
    "check_count_tokens",
    "check_ddim_step",
    "check_describe",
    "check_ema_step",
    "check_fading_levels",
    "check_failure",
    "check_find",
    "check_find_collapsed",
    "check_from_velocity",
    "check_gaussian_velocity",
    "check_go_on",
    "check_guide",
    "check_guided_velocity",
    "check_heun_step",
    "check_kept_subject",
    "check_kl",
    "check_leaked",
    "check_learning_rate",
    "check_levels_given",
    "check_noised",
    "check_outpaint_levels",
    "check_packing_mask",
    "check_patchify_line",
    "check_places",
    "check_preference_error",
    "check_relative",
    "check_renoise",
    "check_repairs",
    "check_reparameterise",
    "check_rotary_1d",
    "check_share_drowned",
    "check_thrown",
    "check_tokenize",
    "check_trivial_losses",
    "check_unseen_looks",
    "check_v_from_noise",
    "check_velocity_error",
    "check_wilson",
]
