/* models.c -- see models.h. */
#include "cli/models.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/env.h"

int vt_cli_open_store(vt_store **out)
{
    vt_err err = {0};
    char *data = NULL;
    vt_buffer path;
    vt_buffer_init(&path, 65536);
    vt_status st = vt_env_dir(VT_DIR_DATA, &data, &err);
    if (st == VT_OK) {
        vt_buffer_printf(&path, "%s/models", data);
        st = vt_buffer_status(&path, "the path of the models", &err);
    }
    if (st == VT_OK) st = vt_store_open(path.ptr, out, &err);
    vt_buffer_deinit(&path);
    vt_free(data);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

int vt_cli_resolve_model(vt_store *store, const char *model, vt_store_entry *out)
{
    vt_err err = {0};
    if (vt_store_resolve(store, model, out, &err) == VT_OK) return VT_EXIT_OK;
    const char *remedy = err.code == VT_ENOTFOUND
                             ? "MODEL is a name ('vetro list') or the path of a GGUF file"
                             : NULL;
    return vt_cli_fail(&err, remedy ? "%s" : NULL, remedy);
}

int vt_cli_find_model(const char *model, bool digest, vt_store_entry *out)
{
    vt_store *store = NULL;
    vt_store_entry entry = {0};
    vt_err err = {0};
    int code = vt_cli_open_store(&store);
    if (code != VT_EXIT_OK) return code;
    code = vt_cli_resolve_model(store, model, &entry);
    if (code == VT_EXIT_OK && digest) {
        vt_cli_progress bar;
        vt_cli_progress_begin(&bar);
        vt_status st = vt_store_digest(store, &entry, &bar.progress, &err);
        vt_cli_progress_end(&bar);
        if (st != VT_OK) code = vt_cli_fail(&err, NULL);
    }
    vt_store_close(store);
    if (code == VT_EXIT_OK) *out = entry;
    else vt_store_entry_deinit(&entry);
    return code;
}

json_t *vt_cli_sampling_json(const vt_sampling *s)
{
    return json_pack("{s:f, s:I, s:f, s:f, s:f, s:f, s:f}", "temperature", s->temperature, "top_k",
                     (json_int_t)s->top_k, "top_p", s->top_p > 0 ? s->top_p : 1.0, "min_p",
                     s->min_p, "repetition_penalty",
                     s->repetition_penalty > 0 ? s->repetition_penalty : 1.0, "frequency_penalty",
                     s->frequency_penalty, "presence_penalty", s->presence_penalty);
}
