/* hadamard.c -- see hadamard.h. Plain loops: sums and differences are the same bits however a
 * compiler vectorises them. */
#include "kernels/hadamard.h"

static void rotate(float *x, uint32_t n, uint32_t width, float scale)
{
    for (uint32_t h = 1; h < width; h *= 2)
        for (uint32_t first = 0; first < n; first += 2 * h)
            for (uint32_t i = first; i < first + h; i++) {
                const float a = x[i], b = x[i + h];
                x[i] = a + b;
                x[i + h] = a - b;
            }
    for (uint32_t i = 0; i < n; i++) x[i] *= scale;
}

/* 2^floor(log2(width) / 2) */
static uint32_t key_divisor(uint32_t width)
{
    uint32_t divisor = 1;
    while (4 * divisor * divisor <= width) divisor *= 2;
    return divisor;
}

void vt_hadamard_key(float *x, uint32_t n)
{
    const uint32_t width = n & -n;
    rotate(x, n, width, 1.0f / (float)key_divisor(width));
}

void vt_hadamard_query(float *x, uint32_t n)
{
    const uint32_t width = n & -n;
    rotate(x, n, width, (float)key_divisor(width) / (float)width);
}
