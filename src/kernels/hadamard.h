/* hadamard.h -- a rotation that spreads a few large dimensions of a head over all of them. In a
 * number format whose neighbours share a scale a large dimension takes the precision of the others.
 * Rotated by the same matrix, keys and queries keep their products, and no dimension stands out
 * (QuaRot, arXiv 2404.00456).
 *
 * Threads  pure functions. */
#ifndef VT_KERNELS_HADAMARD_H
#define VT_KERNELS_HADAMARD_H

#include <stdint.h>

/* x [n], in place, times the Hadamard matrix of Sylvester's construction of the largest power of
 * two w that divides n, block by block: for h = 1, 2, 4 .. w / 2 every pair (x[i], x[i + h]), i
 * without bit h, becomes (sum, difference), rounded to float each time. Then all are scaled by a
 * power of two: keys by 2^-floor(log2(w) / 2), queries by what is missing to 1 / w, so that a
 * product of both is that of the originals. */
void vt_hadamard_key(float *x, uint32_t n);
void vt_hadamard_query(float *x, uint32_t n);

#endif
