/* kv.c -- see kv.h. */
#include "engine/kv.h"

#include <sys/mman.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cpu.h"

enum { PAGE = 4096 };

static uint32_t tiles(uint32_t n_positions)
{
    return n_positions / VT_KEY_TILE + (n_positions % VT_KEY_TILE != 0);
}

static uint32_t slots_of(const vt_layer *l, uint32_t n_ctx, uint32_t n_step)
{
    uint32_t all = tiles(n_ctx);
    if (l->window == 0 || l->window >= n_ctx) return all;
    /* the step's own tiles, the window before its first token, and one for misalignment at each end
     */
    uint32_t ring = tiles(l->window) + tiles(n_step) + 2;
    return ring < all ? ring : all;
}

vt_status vt_kv_init(vt_kv_memory *kv, const vt_model *m, uint32_t n_ctx, uint32_t n_step,
                     vt_kv_type type, vt_err *err)
{
    const vt_hyper *h = &m->hyper;
    const uint64_t head_tile_bytes = vt_kv_head_tile_bytes(type, h->head_dim),
                   tile_bytes = head_tile_bytes * h->n_heads_kv;
    *kv = (vt_kv_memory){
        .n_layers = h->n_layers, .n_heads_kv = h->n_heads_kv, .head_tile_bytes = head_tile_bytes};
    if (type == VT_KV_Q8_0 && h->head_dim % 32 != 0)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "a KV cache of type q8_0 needs heads of a multiple of 32, this model's have "
                       "%u: use --kv-type f16",
                       h->head_dim);
    kv->view.type = type;
    kv->view.layers = vt_calloc(h->n_layers, sizeof *kv->view.layers);
    if (kv->view.layers == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    uint64_t total = 0;
    bool fits = true;
    for (uint32_t i = 0; i < h->n_layers; i++) {
        uint64_t bytes = 0;
        kv->view.layers[i].n_slots = slots_of(&m->layers[i], n_ctx, n_step);
        fits = fits && vt_mul_u64(tile_bytes, kv->view.layers[i].n_slots, &bytes) &&
               vt_align_u64(bytes, PAGE, &bytes) && vt_mul_u64(bytes, 2, &bytes) &&
               vt_add_u64(total, bytes, &total);
    }
    /* Reserving nearly always succeeds; it is the filling that would end in the system's killer. */
    const uint64_t have = vt_cpu_memory_bytes();
    if (fits && total > have) {
        vt_kv_deinit(kv);
        return vt_fail(err, VT_ELIMIT,
                       "the KV cache of %u tokens needs %.1f GiB and this machine has %.1f GiB of "
                       "memory: use a smaller --ctx",
                       n_ctx, (double)total / 0x1p30, (double)have / 0x1p30);
    }
    void *memory = MAP_FAILED;
    if (fits && total <= SIZE_MAX)
        memory = mmap(NULL, total, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        vt_kv_deinit(kv);
        return vt_fail(err, VT_ENOMEM,
                       "cannot reserve %.2f GiB for the KV cache of %u tokens: use a smaller --ctx",
                       (double)total / 0x1p30, n_ctx);
    }
    /* No huge pages here: a short conversation would touch two megabytes for each layer. */
    kv->memory = memory;
    kv->n_bytes = total;
    uint8_t *at = memory;
    for (uint32_t i = 0; i < h->n_layers; i++) {
        uint64_t bytes = (tile_bytes * kv->view.layers[i].n_slots + PAGE - 1) / PAGE * PAGE;
        kv->view.layers[i].k = at;
        kv->view.layers[i].v = at + bytes;
        at += 2 * bytes;
    }
    return VT_OK;
}

void vt_kv_deinit(vt_kv_memory *kv)
{
    if (kv->memory != NULL) munmap(kv->memory, kv->n_bytes);
    vt_free(kv->view.layers);
    *kv = (vt_kv_memory){0};
}

bool vt_kv_can_continue(const vt_kv_memory *kv, const vt_model *m, uint32_t from, uint32_t high)
{
    if (high == 0) return true;
    const uint32_t last_tile = (high - 1) / VT_KEY_TILE;
    for (uint32_t i = 0; i < kv->n_layers; i++) {
        const uint32_t window = m->layers[i].window, n_slots = kv->view.layers[i].n_slots;
        if (window == 0 || last_tile < n_slots) continue; /* nothing was overwritten yet */
        const uint32_t first_seen = from + 1 > window ? from + 1 - window : 0;
        if (first_seen / VT_KEY_TILE + n_slots <= last_tile) return false;
    }
    return true;
}

_Static_assert(VT_KV_F16 == 0 && VT_KV_F32 == 1 && VT_KV_Q8_0 == 2, "codes are in files");

uint32_t vt_kv_code(const vt_kv_memory *kv)
{
    return (uint32_t)kv->view.type + 1;
}

const char *vt_kv_code_name(uint32_t code)
{
    return code >= 1 && code <= VT_KV_Q8_0 + 1 ? vt_kv_type_name((vt_kv_type)(code - 1))
                                               : "unknown";
}

size_t vt_kv_tile_bytes(const vt_kv_memory *kv)
{
    return (size_t)(2 * kv->head_tile_bytes * kv->n_heads_kv);
}

bool vt_kv_has_tile(const vt_kv_memory *kv, uint32_t i_layer, uint32_t i_tile, uint32_t high)
{
    const uint64_t n_tiles = tiles(high);
    return i_tile < n_tiles && (uint64_t)i_tile + kv->view.layers[i_layer].n_slots >= n_tiles;
}

void vt_kv_read_tile(const vt_kv_memory *kv, uint32_t i_layer, uint32_t i_tile, uint8_t *out)
{
    const vt_kv_layer *l = &kv->view.layers[i_layer];
    const size_t bytes = (size_t)kv->head_tile_bytes;
    for (uint32_t i = 0; i < 2 * kv->n_heads_kv; i++) {
        const uint32_t head = i % kv->n_heads_kv;
        const uint8_t *from = i < kv->n_heads_kv ? l->k : l->v;
        memcpy(out + i * bytes, from + ((size_t)head * l->n_slots + i_tile % l->n_slots) * bytes,
               bytes);
    }
}

void vt_kv_write_tile(vt_kv_memory *kv, uint32_t i_layer, uint32_t i_tile, const uint8_t *in)
{
    const vt_kv_layer *l = &kv->view.layers[i_layer];
    const size_t bytes = (size_t)kv->head_tile_bytes;
    for (uint32_t i = 0; i < 2 * kv->n_heads_kv; i++) {
        const uint32_t head = i % kv->n_heads_kv;
        uint8_t *to = i < kv->n_heads_kv ? l->k : l->v;
        memcpy(to + ((size_t)head * l->n_slots + i_tile % l->n_slots) * bytes, in + i * bytes,
               bytes);
    }
}
