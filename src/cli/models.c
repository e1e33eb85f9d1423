/* models.c -- see models.h. */
#include "cli/models.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/env.h"
#include "cli/prefixes.h"

int vt_cli_data_path(const char *name, char **out)
{
    vt_err err = {0};
    char *data = NULL;
    vt_buffer path;
    vt_buffer_init(&path, 65536);
    vt_status st = vt_env_dir(VT_DIR_DATA, &data, &err);
    if (st == VT_OK) {
        vt_buffer_printf(&path, "%s/%s", data, name);
        st = vt_buffer_status(&path, "the path of the data directory", &err);
    }
    if (st == VT_OK) *out = vt_buffer_take(&path);
    if (st == VT_OK && *out == NULL) st = vt_fail(&err, VT_ENOMEM, "out of memory");
    vt_buffer_deinit(&path);
    vt_free(data);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

int vt_cli_open_store(vt_store **out)
{
    vt_err err = {0};
    char *path = NULL;
    int code = vt_cli_data_path("models", &path);
    if (code != VT_EXIT_OK) return code;
    if (vt_store_open(path, out, &err) != VT_OK) code = vt_cli_fail(&err, NULL);
    vt_free(path);
    return code;
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
    /* A stored file that was touched is not used before its bytes have been looked at: its answers
     * would go by the digest of other ones. */
    if (code == VT_EXIT_OK && (digest || entry.is_stale)) {
        vt_cli_progress bar;
        vt_cli_progress_begin(&bar);
        vt_status st = vt_store_digest(store, &entry, &bar.progress, &err);
        vt_cli_progress_end(&bar);
        if (st == VT_EVERIFY && entry.name != NULL)
            code = vt_cli_fail(&err, "'vetro remove %s', then pull it again", entry.name);
        else if (st != VT_OK) code = vt_cli_fail(&err, NULL);
    }
    vt_store_close(store);
    if (code == VT_EXIT_OK) *out = entry;
    else vt_store_entry_deinit(&entry);
    return code;
}

void vt_cli_close_header(vt_cli_header *h)
{
    vt_tokenizer_free(h->tokenizer);
    vt_gguf_close(h->gguf);
    vt_store_entry_deinit(&h->entry);
    *h = (vt_cli_header){0};
}

int vt_cli_open_header(const char *model, vt_cli_header *out)
{
    vt_cli_header h = {0};
    vt_err err = {0};
    int code = vt_cli_find_model(model, false, &h.entry);
    if (code != VT_EXIT_OK) return code;
    vt_status st = vt_gguf_open(h.entry.path, &h.gguf, &err);
    if (st == VT_OK) {
        st = vt_tokenizer_from_gguf(h.gguf, &h.tokenizer, &err);
        if (st != VT_OK) st = vt_fail_wrap(&err, st, "%.150s", h.entry.path);
    }
    if (st == VT_OK) {
        *out = h;
        return VT_EXIT_OK;
    }
    vt_cli_close_header(&h);
    return vt_cli_fail(&err, NULL);
}

void vt_cli_close_model(vt_cli_model *m)
{
    /* Prefixes may still have to be written: nobody should wait for an answer meanwhile. */
    fflush(stdout);
    vt_session_free(m->session);
    vt_engine_close(m->engine);
    vt_store_entry_deinit(&m->entry);
    json_decref(m->explained);
    *m = (vt_cli_model){0};
}

vt_kv_type vt_cli_kv_type(const vt_args *args)
{
    const char *name = vt_args_text(args, "kv-type");
    for (vt_kv_type type = VT_KV_F16; type < VT_KV_Q8_0; type++)
        if (strcmp(name, vt_kv_type_name(type)) == 0) return type;
    return VT_KV_Q8_0;
}

vt_status vt_cli_open_engine(vt_engine_options *options, const vt_store_entry *entry,
                             vt_cli_progress *bar, vt_engine **out, vt_err *err)
{
    vt_err why = {0};
    const char *problem = entry->packed_problem;
    if (entry->packed != NULL) {
        options->path = entry->packed;
        vt_status st = vt_engine_open(options, out, &why);
        if (st == VT_OK) return st;
        if (st != VT_ECORRUPT && st != VT_EINPUT && st != VT_EIO) {
            if (err != NULL) *err = why;
            return st;
        }
        problem = why.msg;
    }
    vt_cli_progress_end(bar);
    if (problem != NULL)
        vt_cli_note("vetro: the packed form is not used: %s\n  'vetro pack --force %s' writes it "
                    "anew; loading the original",
                    problem, entry->name);
    options->path = entry->path;
    return vt_engine_open(options, out, err);
}

int vt_cli_open_model(const vt_args *args, const char *model, const vt_session_options *wanted,
                      vt_cli_model *out)
{
    vt_err err = {0};
    vt_engine_options options = {.isa = vt_env_isa()};
    vt_session_options session = wanted != NULL ? *wanted : (vt_session_options){0};
    *out = (vt_cli_model){0};
    if (!vt_args_threads(args, &options.n_threads)) return VT_EXIT_USAGE;
    if (vt_args_int(args, "ctx") > 0) session.n_ctx = (uint32_t)vt_args_int(args, "ctx");
    session.kv_type = vt_cli_kv_type(args);
    const bool keeps = vt_args_command(args)->caching != NULL;
    int code = keeps ? vt_cli_check_prefixes(args) : VT_EXIT_OK;
    if (code == VT_EXIT_OK) code = vt_cli_find_model(model, false, &out->entry);
    if (code != VT_EXIT_OK) return code;
    vt_cli_progress bar;
    vt_cli_progress_begin(&bar);
    options.progress = &bar.progress;
    double start = vt_clock_seconds();
    vt_status st = vt_cli_open_engine(&options, &out->entry, &bar, &out->engine, &err);
    vt_cli_progress_end(&bar);
    if (st == VT_OK) st = vt_session_new(out->engine, &session, &out->session, &err);
    out->session_options = session;
    out->load_seconds = vt_clock_seconds() - start;
    if (st != VT_OK) code = vt_cli_fail(&err, NULL);
    else if (keeps) code = vt_cli_keep_prefixes(args, out);
    if (code != VT_EXIT_OK) vt_cli_close_model(out);
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
