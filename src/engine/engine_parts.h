/* engine_parts.h -- private to engine/: what an engine is made of. */
#ifndef VT_ENGINE_ENGINE_PARTS_H
#define VT_ENGINE_ENGINE_PARTS_H

#include "engine/engine.h"
#include "kernels/kernels.h"
#include "model/network.h"

struct vt_engine {
    vt_model *model;
    vt_pool *pool;
    const vt_kernels *kernels;
};

#endif
