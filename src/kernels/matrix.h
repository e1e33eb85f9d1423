/* matrix.h -- a weight matrix as the kernels read it: rows in tiles of 16, one lane an output row
 * (NUMERICS.md, rule 1).
 *
 * A tile holds 16 rows. Its first part is the quants, its second the scales, each block after
 * block; both have exactly the bytes of the 16 rows in the file, moved: packing is a transposition
 * of 4-byte units, so that one 64-byte load gives 16 rows x 4 bytes. The last tile of a matrix is
 * padded with zero rows. Tiles start at multiples of 64 bytes.
 *
 *   R = 16 rows; [a][R] x 4 bytes reads "a groups, each 16 rows x 4 bytes = 64 bytes"
 *
 *   format  quants of a block                              scales of a block
 *   F32     [1 column][R] float                            -
 *   F16     [1 column][R] half                             -
 *   BF16    [1 column][R] bfloat16                         -
 *   Q8_0    [8][R] x 4 int8                                [R] half d
 *   Q4_0    [4][R] x 4: group g low nibbles = columns      [R] half d
 *           4g..4g+3, high nibbles = columns 16+4g..
 *   Q4_1    as Q4_0                                        [R] half d, [R] half m
 *   Q5_0    as Q4_0, then [R] x 4: bit g of byte k is      [R] half d
 *           the high bit of column 4g + k
 *   MXFP4   as Q4_0                                        [R] exponent byte
 *   Q4_K    4 pairs of [8][R] x 4: pair p, group g: low    [R] half d, [R] half dmin, 3 x [R] x 4:
 * the 12 bytes of nibbles = sub-block 2p, high = 2p+1            6-bit scales and minima as in the
 * file Q5_K    as Q4_K, then [8][R] x 4: bit j of byte k of   as Q4_K group g = high bit of column
 * 4g+k, sub-block j Q6_K    2 halves of 2 x [8][R] x 4 (ql), then          [4][R] x 4 int8 scales,
 * [R] half d 2 x [8][R] x 4 (qh), as in the file
 *
 * Ownership  a vt_matrix borrows its tiles. */
#ifndef VT_KERNELS_MATRIX_H
#define VT_KERNELS_MATRIX_H

#include <stdint.h>

#include "kernels/format.h"

enum { VT_TILE_ROWS = 16, VT_TILE_ALIGN = 64 };

/* The version of this layout. Tiles are kept on disk (model/packed.h): whoever changes what
 * vt_tile_pack writes, for any format, raises it. */
enum { VT_TILE_LAYOUT = 1 };

typedef struct {
    vt_format format;
    uint32_t n_rows; /* of one matrix of the stack */
    uint32_t n_cols;
    uint32_t n_stack; /* 1; experts: how many matrices lie behind one another */
    const uint8_t *tiles;
} vt_matrix;

/* Bytes of one tile; n_cols must be a multiple of the format's block length. */
size_t vt_tile_bytes(vt_format format, uint32_t n_cols);
/* Tiles of one matrix of n_rows rows. */
static inline uint32_t vt_tiles_of(uint32_t n_rows)
{
    return n_rows / VT_TILE_ROWS + (n_rows % VT_TILE_ROWS != 0);
}

/* Pack n_rows (1 to 16) consecutive rows, as they lie in the file, into the tile. */
void vt_tile_pack(vt_format format, const uint8_t *rows, uint32_t n_rows, uint32_t n_cols,
                  uint8_t *tile);

/* Row i_row of matrix i_stack as floats: value = d * q, or (d * scale) * q - (dmin * min) for the K
 * formats, each product and difference rounded once in this order; the one definition for
 * embeddings. */
void vt_matrix_row(const vt_matrix *m, uint32_t i_stack, uint32_t i_row, float *out);

#endif
