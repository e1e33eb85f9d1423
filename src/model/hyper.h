/* hyper.h -- private to model/: the hyper-parameters that every family has, from GGUF metadata. */
#ifndef VT_MODEL_HYPER_H
#define VT_MODEL_HYPER_H

#include "model/network.h"

enum { VT_MAX_CTX = 1 << 22 };

VT_MUSTUSE vt_status vt_hyper_read(const vt_gguf *g, vt_slice prefix, vt_hyper *h, vt_err *err);

#endif
