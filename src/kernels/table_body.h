/* table_body.h -- the last lines of every instruction set's file: which function serves which
 * format, and the table. Included once by each, after it has defined the static functions named
 * here. */

static vt_tile_fn *tile_for(vt_format format)
{
    switch (format) {
    case VT_FORMAT_F32: return tile_f32;
    case VT_FORMAT_F16: return tile_f16;
    case VT_FORMAT_BF16: return tile_bf16;
    case VT_FORMAT_Q8_0: return tile_q8_0;
    case VT_FORMAT_Q4_0: return tile_q4_0;
    case VT_FORMAT_Q4_1: return tile_q4_1;
    case VT_FORMAT_Q5_0: return tile_q5_0;
    case VT_FORMAT_MXFP4: return tile_mxfp4;
    case VT_FORMAT_Q4_K: return tile_q4_k;
    case VT_FORMAT_Q5_K: return tile_q5_k;
    case VT_FORMAT_Q6_K: return tile_q6_k;
    }
    return NULL;
}

#define VT_KERNEL_TABLE(isa)              \
    {                                     \
        .name = (isa),                    \
        .tile = tile_for,                 \
        .quantize = quantize,             \
        .rms_norm = rms_norm,             \
        .add = add,                       \
        .add_scaled = add_scaled,         \
        .silu_mul = silu_mul,             \
        .swiglu_clamped = swiglu_clamped, \
        .rope = rope,                     \
        .to_f16 = to_f16,                 \
        .attend = attend,                 \
    }
