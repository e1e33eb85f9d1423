/* sampling.h -- how the next token is chosen: plain values, as publishers recommend them and users
 * set them. What they do and in which order is engine/sampler.h. Zero is "off" for each of them, so
 * {0} is greedy decoding. */
#ifndef VT_MODEL_SAMPLING_H
#define VT_MODEL_SAMPLING_H

#include <stdint.h>

typedef struct {
    double temperature; /* 0: greedy */
    uint32_t top_k;     /* 0: all */
    double top_p;       /* 0 or 1: off */
    double min_p;
    double repetition_penalty; /* 0 or 1: off */
    double frequency_penalty;
    double presence_penalty;
} vt_sampling;

#endif
