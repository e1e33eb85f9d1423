/* table_body.h -- the last lines of every instruction set's file: its tile function for every
 * format, and the table. Included once by each, after it has defined the functions named here, the
 * bodies tile_32, tile_45_k and tile_6_k, and
 *
 *     DEFINE_TILE(name, body, format)   a vt_tile_fn of that name: the body for one format
 *
 * The bodies are inlined with the format as a constant, so that each function is its own code. A
 * new quantised format is a row here; a floating one is defined by lanes_body.h and is a case
 * below. */

#define VT_TILE_MAP(X)                      \
    X(tile_q8_0, tile_32, VT_FORMAT_Q8_0)   \
    X(tile_q4_0, tile_32, VT_FORMAT_Q4_0)   \
    X(tile_q4_1, tile_32, VT_FORMAT_Q4_1)   \
    X(tile_q5_0, tile_32, VT_FORMAT_Q5_0)   \
    X(tile_mxfp4, tile_32, VT_FORMAT_MXFP4) \
    X(tile_q4_k, tile_45_k, VT_FORMAT_Q4_K) \
    X(tile_q5_k, tile_45_k, VT_FORMAT_Q5_K) \
    X(tile_q6_k, tile_6_k, VT_FORMAT_Q6_K)

VT_TILE_MAP(DEFINE_TILE)

static vt_tile_fn *tile_for(vt_format format)
{
    switch (format) {
    case VT_FORMAT_F32: return tile_f32;
    case VT_FORMAT_F16: return tile_f16;
    case VT_FORMAT_BF16: return tile_bf16;
#define X(name, body, id) \
    case id: return name;
        VT_TILE_MAP(X)
#undef X
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
        .attend_part = attend_part,       \
        .attend_merge = attend_merge,     \
    }
