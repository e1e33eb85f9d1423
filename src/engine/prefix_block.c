/* prefix_block.c -- see prefix_block.h. */
#include "engine/prefix_block.h"

static const char magic[8] = {'V', 'T', 'P', 'R', 'E', 'F', 'I', 'X'};

enum {
    AT_VERSION = 8,
    AT_NUMERICS = 12,
    AT_KV_CODE = 16,
    AT_N_TOKENS = 20,
    AT_POSITION = 24,
    AT_ZERO = 28,
    AT_PAYLOAD = 32,
    AT_MODEL = 40,
    AT_PREVIOUS = 72,
    AT_KEY = 104,
    AT_TOKENS = 136,
    AT_REST = AT_TOKENS + 4 * VT_BLOCK_TOKENS,
};
_Static_assert((int)AT_REST <= (int)VT_BLOCK_HEADER, "the header holds the tokens");

static void put_u32(uint8_t *to, uint32_t x)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(x >> 8 * i);
}

static void put_u64(uint8_t *to, uint64_t x)
{
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(x >> 8 * i);
}

static uint32_t get_u32(const uint8_t *from)
{
    uint32_t x = 0;
    for (int i = 0; i < 4; i++) x |= (uint32_t)from[i] << 8 * i;
    return x;
}

static uint64_t get_u64(const uint8_t *from)
{
    return get_u32(from) | (uint64_t)get_u32(from + 4) << 32;
}

/* What is hashed for a root cannot be what is hashed for a key: 16 bytes more, and a text first. */
vt_status vt_block_root(const vt_key *model, uint32_t numerics, uint32_t kv_code, vt_key *out,
                        vt_err *err)
{
    uint8_t text[8 + 4 * 4 + VT_SHA256_BYTES];
    memcpy(text, magic, sizeof magic);
    put_u32(text + 8, VT_BLOCK_VERSION);
    put_u32(text + 12, VT_BLOCK_TOKENS);
    put_u32(text + 16, numerics);
    put_u32(text + 20, kv_code);
    memcpy(text + 24, model->bytes, sizeof model->bytes);
    return vt_sha256_bytes(vt_slice_of(text, sizeof text), out->bytes, err);
}

vt_status vt_block_key(const vt_key *previous, const int32_t *tokens, uint32_t n, vt_key *out,
                       vt_err *err)
{
    uint8_t text[VT_SHA256_BYTES + 4 + 4 * VT_BLOCK_TOKENS];
    VT_CHECK(n >= 1 && n <= VT_BLOCK_TOKENS);
    memcpy(text, previous->bytes, sizeof previous->bytes);
    put_u32(text + VT_SHA256_BYTES, n);
    for (uint32_t i = 0; i < n; i++)
        put_u32(text + VT_SHA256_BYTES + 4 + (size_t)4 * i, (uint32_t)tokens[i]);
    return vt_sha256_bytes(vt_slice_of(text, VT_SHA256_BYTES + 4 + (size_t)4 * n), out->bytes, err);
}

vt_status vt_block_seal(const vt_block *b, uint8_t *image, vt_err *err)
{
    memset(image, 0, VT_BLOCK_HEADER);
    memcpy(image, magic, sizeof magic);
    put_u32(image + AT_VERSION, VT_BLOCK_VERSION);
    put_u32(image + AT_NUMERICS, b->numerics);
    put_u32(image + AT_KV_CODE, b->kv_code);
    put_u32(image + AT_N_TOKENS, b->n_tokens);
    put_u32(image + AT_POSITION, b->position);
    put_u64(image + AT_PAYLOAD, b->payload_bytes);
    memcpy(image + AT_MODEL, b->model.bytes, VT_SHA256_BYTES);
    memcpy(image + AT_PREVIOUS, b->previous.bytes, VT_SHA256_BYTES);
    memcpy(image + AT_KEY, b->key.bytes, VT_SHA256_BYTES);
    for (uint32_t i = 0; i < b->n_tokens; i++)
        put_u32(image + AT_TOKENS + (size_t)4 * i, (uint32_t)b->tokens[i]);
    const size_t n = VT_BLOCK_HEADER + (size_t)b->payload_bytes;
    return vt_sha256_bytes(vt_slice_of(image, n), image + n, err);
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 0) return false;
    return true;
}

static void read_header(const uint8_t *image, vt_block *out)
{
    *out = (vt_block){.numerics = get_u32(image + AT_NUMERICS),
                      .kv_code = get_u32(image + AT_KV_CODE),
                      .n_tokens = get_u32(image + AT_N_TOKENS),
                      .position = get_u32(image + AT_POSITION),
                      .payload_bytes = get_u64(image + AT_PAYLOAD)};
    memcpy(out->model.bytes, image + AT_MODEL, VT_SHA256_BYTES);
    memcpy(out->previous.bytes, image + AT_PREVIOUS, VT_SHA256_BYTES);
    memcpy(out->key.bytes, image + AT_KEY, VT_SHA256_BYTES);
    for (size_t i = 0; i < VT_BLOCK_TOKENS; i++)
        out->tokens[i] = (int32_t)get_u32(image + AT_TOKENS + 4 * i);
}

vt_status vt_block_peek(vt_slice head, uint64_t n_file, vt_block *out, vt_err *err)
{
    const uint8_t *image = (const uint8_t *)head.ptr;
    vt_block b;
    if (head.len < VT_BLOCK_HEADER || n_file < VT_BLOCK_HEADER + VT_SHA256_BYTES)
        return vt_fail(err, VT_ECORRUPT, "it is too short");
    if (memcmp(image, magic, sizeof magic) != 0)
        return vt_fail(err, VT_ECORRUPT, "it is no stored block");
    if (get_u32(image + AT_VERSION) != VT_BLOCK_VERSION)
        return vt_fail(err, VT_ECORRUPT, "its version is %u, not %d", get_u32(image + AT_VERSION),
                       VT_BLOCK_VERSION);
    read_header(image, &b);
    if (b.n_tokens < 1 || b.n_tokens > VT_BLOCK_TOKENS || b.position % VT_BLOCK_TOKENS != 0 ||
        b.position > INT32_MAX)
        return vt_fail(err, VT_ECORRUPT, "its header has %u tokens at position %u", b.n_tokens,
                       b.position);
    if (b.payload_bytes > VT_BLOCK_MAX_PAYLOAD ||
        n_file != VT_BLOCK_HEADER + b.payload_bytes + VT_SHA256_BYTES)
        return vt_fail(err, VT_ECORRUPT, "it has %llu bytes, its header says %llu",
                       (unsigned long long)n_file,
                       (unsigned long long)(b.payload_bytes + VT_BLOCK_HEADER + VT_SHA256_BYTES));
    const size_t used = AT_TOKENS + (size_t)4 * b.n_tokens;
    if (!is_zero(image + AT_ZERO, 4) || !is_zero(image + used, VT_BLOCK_HEADER - used))
        return vt_fail(err, VT_ECORRUPT, "its header has bytes where none belong");
    *out = b;
    return VT_OK;
}

vt_status vt_block_open(vt_slice image, vt_block *out, vt_err *err)
{
    vt_block b;
    vt_key want;
    uint8_t sum[VT_SHA256_BYTES];
    vt_status st = vt_block_peek(image, image.len, &b, err);
    if (st == VT_OK)
        st = vt_sha256_bytes(vt_slice_take(image, image.len - VT_SHA256_BYTES), sum, err);
    if (st == VT_OK && memcmp(sum, image.ptr + image.len - VT_SHA256_BYTES, sizeof sum) != 0)
        st = vt_fail(err, VT_ECORRUPT, "its checksum differs");
    if (st == VT_OK) st = vt_block_key(&b.previous, b.tokens, b.n_tokens, &want, err);
    if (st == VT_OK && !vt_key_eq(&want, &b.key))
        st = vt_fail(err, VT_ECORRUPT, "its key is not that of its tokens");
    if (st == VT_OK && b.position == 0) {
        st = vt_block_root(&b.model, b.numerics, b.kv_code, &want, err);
        if (st == VT_OK && !vt_key_eq(&want, &b.previous))
            st = vt_fail(err, VT_ECORRUPT, "it does not begin where its model's prefixes do");
    }
    if (st == VT_OK) *out = b;
    return st;
}
