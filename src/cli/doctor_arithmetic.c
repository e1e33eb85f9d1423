/* doctor_arithmetic.c -- the self-test of `vetro doctor`: does this machine compute what every
 * machine has to?
 *
 * Numbers made from a counter go through a norm, the gated activations and the quantisation, with
 * every instruction set that the CPU has. All must give the same bits, and these must be the ones
 * that stand here: they were computed once with the scalar kernels of VT_NUMERICS_VERSION 1;
 * versions 2 and 3 changed only attention over Q8_0, which is not among them. */
#include "cli/doctor.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "kernels/kernels.h"

enum { N = 512 };

_Static_assert(VT_NUMERICS_VERSION == 3, "compute EXPECTED again and say why in the commit");
#define EXPECTED "d7bd086facbc36ce" /* first 64 bits of the SHA-256 of `work` */

typedef struct {
    float normed[N];
    float gated[N];
    float d[N / 32];
    uint16_t halves[N];
    int16_t sums[N / 32];
    int8_t q[N];
} work;

/* Values over many magnitudes, both signs, from integers only. */
static void fill(float *x, uint32_t seed)
{
    for (uint32_t i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        float value = (float)((int32_t)(seed >> 9) - (1 << 22)) / (float)(1 << 20);
        x[i] = i % 7 == 0 ? value / 1024 : value;
    }
}

static bool compute(const vt_kernels *kernels, work *w)
{
    float x[N], weight[N];
    memset(w, 0, sizeof *w);
    fill(x, 1);
    fill(weight, 2);
    if (!kernels->rms_norm(x, weight, N, 1e-6f, w->normed)) return false;
    kernels->silu_mul(w->normed, x, N, w->gated);
    return kernels->quantize(w->gated, N, 32, w->q, w->d, NULL, w->sums) &&
           kernels->to_f16(w->gated, N, w->halves);
}

void vt_doctor_arithmetic(vt_doctor_check *c)
{
    const vt_kernels *all[VT_KERNELS_MOST];
    const size_t n = vt_kernels_list(all);
    size_t used = 0;
    work first;
    for (size_t i = 0; i < n; i++) {
        work w;
        bool ok = compute(all[i], &w);
        if (i == 0) first = w;
        if (!ok || memcmp(&w, &first, sizeof w) != 0) {
            snprintf(c->detail, sizeof c->detail, "%s computes other bits than plain C",
                     all[i]->name);
            c->remedy = "a broken CPU or virtual machine; VETRO_ISA=scalar may still be right. "
                        "Please report it";
            return;
        }
        used += (size_t)snprintf(c->detail + used, sizeof c->detail - used, "%s%s",
                                 i == 0 ? "" : ", ", all[i]->name);
    }
    uint8_t digest[VT_SHA256_BYTES];
    char hex[VT_SHA256_HEX + 1] = "";
    if (vt_sha256_bytes(vt_slice_of(&first, sizeof first), digest, NULL) == VT_OK)
        vt_sha256_hex(digest, hex);
    c->ok = strncmp(hex, EXPECTED, strlen(EXPECTED)) == 0;
    if (c->ok)
        snprintf(c->detail + used, sizeof c->detail - used,
                 ": the bits that every machine must have");
    else {
        snprintf(c->detail, sizeof c->detail, "the result is %.16s, not %s", hex, EXPECTED);
        c->remedy = "this build does not keep to the definition of the arithmetic: check compiler "
                    "and flags";
    }
}
