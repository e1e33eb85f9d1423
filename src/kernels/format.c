/* format.c -- see format.h. */
#include "kernels/format.h"

static const vt_format_info formats[] = {
#define X(name, id, block, bytes, activation) {VT_FORMAT_##name, #name, block, bytes, activation},
    VT_FORMAT_MAP(X)
#undef X
};

const vt_format_info *vt_format_by_id(uint32_t id)
{
    for (size_t i = 0; i < VT_COUNT(formats); i++)
        if ((uint32_t)formats[i].id == id) return &formats[i];
    return NULL;
}

const vt_format_info *vt_format_by_name(vt_slice name)
{
    for (size_t i = 0; i < VT_COUNT(formats); i++)
        if (vt_slice_eq(vt_slice_cstr(formats[i].name), name)) return &formats[i];
    return NULL;
}

const vt_format_info *vt_format_all(size_t *n)
{
    *n = VT_COUNT(formats);
    return formats;
}
