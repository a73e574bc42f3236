"""Tensors of the layers of recurrent and hybrid models, as llama.cpp's `src/models` load them, in tiny sizes.

A part of a layer yields the names of its tensors without `blk.N.`, and their shapes, the last dimension being the one
that is summed over.
"""

from collections.abc import Iterator

WIDTH, HIDDEN = 64, 128
HEADS, KV_HEADS, HEAD = 4, 2, 16
INNER, STATE, KERNEL, GROUPS, RANK = 128, 16, 4, 2, 8
"""Of the state-space layers: `RANK` heads of 16 numbers."""
LOW_RANK = 8
"""Of RWKV's low-rank products."""
LATENT, ROTATED = 16, 8
"""Of multi-head latent attention."""
EXPERTS = 4
_CONVOLVED = INNER + 2 * GROUPS * STATE
_PLAMO_RANK = 64
"""The least that llama.cpp takes (src/models/plamo2.cpp)."""

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def attention(query: int = 1, kv_heads: int = KV_HEADS) -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "attn_q.weight", (query * HEADS * HEAD, WIDTH)
    yield "attn_k.weight", (kv_heads * HEAD, WIDTH)
    yield "attn_v.weight", (kv_heads * HEAD, WIDTH)
    yield "attn_output.weight", (WIDTH, HEADS * HEAD)


def sinks() -> Shapes:
    yield "attn_sinks.weight", (HEADS,)


def norms_of_heads() -> Shapes:
    yield "attn_q_norm.weight", (HEAD,)
    yield "attn_k_norm.weight", (HEAD,)


def feed_forward(norm: str = "ffn_norm.weight") -> Shapes:
    yield norm, (WIDTH,)
    yield "ffn_gate.weight", (HIDDEN, WIDTH)
    yield "ffn_up.weight", (HIDDEN, WIDTH)
    yield "ffn_down.weight", (WIDTH, HIDDEN)


def experts(norm: str = "ffn_norm.weight", *, gated: bool = True) -> Shapes:
    yield norm, (WIDTH,)
    yield "ffn_gate_inp.weight", (EXPERTS, WIDTH)
    if gated:
        yield "ffn_gate_exps.weight", (EXPERTS, HIDDEN, WIDTH)
    yield "ffn_up_exps.weight", (EXPERTS, HIDDEN, WIDTH)
    yield "ffn_down_exps.weight", (EXPERTS, WIDTH, HIDDEN)


def shared_expert(*, gated: bool = True) -> Shapes:
    if gated:
        yield "ffn_gate_inp_shexp.weight", (WIDTH,)
        yield "ffn_gate_shexp.weight", (HIDDEN, WIDTH)
    yield "ffn_up_shexp.weight", (HIDDEN, WIDTH)
    yield "ffn_down_shexp.weight", (WIDTH, HIDDEN)


def expert_biases() -> Shapes:
    yield "exp_probs_b.bias", (EXPERTS,)


def multilayer_perceptron() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "ffn_up.weight", (HIDDEN, WIDTH)
    yield "ffn_down.weight", (WIDTH, HIDDEN)


def mamba() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "ssm_in.weight", (2 * INNER, WIDTH)
    yield "ssm_conv1d.weight", (INNER, KERNEL)
    yield "ssm_conv1d.bias", (INNER,)
    yield "ssm_x.weight", (RANK + 2 * STATE, INNER)
    yield "ssm_dt.weight", (INNER, RANK)
    yield "ssm_dt.bias", (INNER,)
    yield "ssm_a", (INNER, STATE)
    yield "ssm_d", (INNER,)
    yield "ssm_out.weight", (WIDTH, INNER)


def norms_of_mamba() -> Shapes:
    yield "ssm_dt_norm.weight", (RANK,)
    yield "ssm_b_norm.weight", (STATE,)
    yield "ssm_c_norm.weight", (STATE,)


def mamba2() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "ssm_in.weight", (INNER + _CONVOLVED + RANK, WIDTH)
    yield "ssm_conv1d.weight", (_CONVOLVED, KERNEL)
    yield "ssm_conv1d.bias", (_CONVOLVED,)
    yield "ssm_dt.bias", (RANK,)
    yield "ssm_a", (RANK, 1)
    yield "ssm_d", (RANK, 1)
    yield "ssm_norm.weight", (GROUPS, INNER // GROUPS)
    yield "ssm_out.weight", (WIDTH, INNER)


def plamo_mamba() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "ssm_in.weight", (2 * INNER, WIDTH)
    yield "ssm_conv1d.weight", (INNER, KERNEL)
    yield "ssm_x.weight", (_PLAMO_RANK + 2 * STATE, INNER)
    yield "ssm_dt.weight", (RANK, _PLAMO_RANK)
    yield "ssm_dt.bias", (RANK,)
    yield "ssm_a", (RANK,)
    yield "ssm_d", (RANK,)
    yield "ssm_out.weight", (WIDTH, INNER)
    yield "ssm_dt_norm", (_PLAMO_RANK,)
    yield "ssm_b_norm", (STATE,)
    yield "ssm_c_norm", (STATE,)


def plamo_attention() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "attn_qkv.weight", ((HEADS + 2 * KV_HEADS) * HEAD, WIDTH)
    yield "attn_q_norm.weight", (HEADS, HEAD)
    yield "attn_k_norm.weight", (KV_HEADS, HEAD)
    yield "attn_output.weight", (WIDTH, HEADS * HEAD)


def plamo_feed_forward() -> Shapes:
    yield "post_attention_norm", (WIDTH,)
    yield "ffn_norm.weight", (WIDTH,)
    yield "ffn_up.weight", (2 * HIDDEN, WIDTH)
    yield "ffn_down.weight", (WIDTH, HIDDEN)
    yield "post_ffw_norm", (WIDTH,)


def delta_net(*, joined: bool = False) -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "attn_qkv.weight", (_CONVOLVED, WIDTH)
    yield "attn_gate.weight", (INNER, WIDTH)
    yield "ssm_conv1d.weight", (_CONVOLVED, KERNEL)
    yield "ssm_dt.bias", (RANK,)
    yield "ssm_a", (RANK,)
    if joined:
        yield "ssm_ba.weight", (2 * RANK, WIDTH)
    else:
        yield "ssm_beta.weight", (RANK, WIDTH)
        yield "ssm_alpha.weight", (RANK, WIDTH)
    yield "ssm_norm.weight", (STATE,)
    yield "ssm_out.weight", (WIDTH, INNER)


def kimi_delta() -> Shapes:
    inner = HEADS * HEAD
    yield from attention(kv_heads=HEADS)
    for part in "qkv":
        yield f"ssm_conv1d_{part}.weight", (inner, 1, KERNEL)
    yield "ssm_f_a.weight", (HEAD, WIDTH)
    yield "ssm_f_b.weight", (inner, HEAD)
    yield "ssm_beta.weight", (HEADS, WIDTH)
    yield "ssm_a", (HEADS, 1)
    yield "ssm_dt.bias", (inner,)
    yield "ssm_g_a.weight", (HEAD, WIDTH)
    yield "ssm_g_b.weight", (inner, HEAD)
    yield "ssm_norm.weight", (HEAD,)


def latent_attention() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "attn_q.weight", (HEADS * (HEAD + ROTATED), WIDTH)
    yield "attn_kv_a_mqa.weight", (LATENT + ROTATED, WIDTH)
    yield "attn_kv_a_norm.weight", (LATENT,)
    yield "attn_k_b.weight", (HEADS, LATENT, HEAD)
    yield "attn_v_b.weight", (HEADS, HEAD, LATENT)
    yield "attn_output.weight", (WIDTH, HEADS * HEAD)


def lightning_attention() -> Shapes:
    inner = HEADS * HEAD
    yield "attn_norm.weight", (WIDTH,)
    yield "attn_norm_2.weight", (inner,)
    yield "attn_qkv.weight", (3 * inner, WIDTH)
    yield "attn_gate.weight", (inner, WIDTH)
    yield "attn_output.weight", (WIDTH, inner)


def short_convolution() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "shortconv.conv.weight", (WIDTH, KERNEL)
    yield "shortconv.in_proj.weight", (3 * WIDTH, WIDTH)
    yield "shortconv.out_proj.weight", (WIDTH, WIDTH)


def rwkv6_time_mix() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    yield "time_mix_w1.weight", (5 * LOW_RANK, WIDTH)
    yield "time_mix_w2.weight", (5, WIDTH, LOW_RANK)
    yield "time_mix_lerp_x.weight", (1, 1, WIDTH)
    yield "time_mix_lerp_fused.weight", (5, 1, 1, WIDTH)
    yield "time_mix_decay.weight", (WIDTH,)
    yield "time_mix_decay_w1.weight", (LOW_RANK, WIDTH)
    yield "time_mix_decay_w2.weight", (WIDTH, LOW_RANK)
    for part in ("key", "value", "receptance", "gate", "output"):
        yield f"time_mix_{part}.weight", (WIDTH, WIDTH)


def rwkv7_time_mix() -> Shapes:
    yield "attn_norm.weight", (WIDTH,)
    for part in "wav":
        yield f"time_mix_{part}0.weight", (WIDTH,)
        yield f"time_mix_{part}1.weight", (LOW_RANK, WIDTH)
        yield f"time_mix_{part}2.weight", (WIDTH, LOW_RANK)
    yield "time_mix_g1.weight", (LOW_RANK, WIDTH)
    yield "time_mix_g2.weight", (WIDTH, LOW_RANK)
    yield "time_mix_lerp_fused.weight", (6, 1, 1, WIDTH)
    for part in ("k_k", "k_a", "r_k"):
        yield f"time_mix_{part}.weight", (WIDTH,)
    for part in ("key", "value", "receptance", "output"):
        yield f"time_mix_{part}.weight", (WIDTH, WIDTH)


def rwkv_norms() -> Shapes:
    yield "attn_norm.bias", (WIDTH,)
    for norm in ("attn_norm_2", "time_mix_ln"):
        yield f"{norm}.weight", (WIDTH,)
        yield f"{norm}.bias", (WIDTH,)


def channel_mix(*, receptance: bool = False) -> Shapes:
    yield "channel_mix_lerp_k.weight", (1, 1, WIDTH)
    yield "channel_mix_key.weight", (HIDDEN, WIDTH)
    yield "channel_mix_value.weight", (WIDTH, HIDDEN)
    if receptance:
        yield "time_mix_first.weight", (1, WIDTH)
        yield "channel_mix_lerp_r.weight", (1, 1, WIDTH)
        yield "channel_mix_receptance.weight", (WIDTH, WIDTH)
