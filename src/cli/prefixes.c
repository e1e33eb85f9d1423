/* prefixes.c -- see prefixes.h. */
#include "cli/prefixes.h"

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/env.h"
#include "base/parse.h"
#include "model/packed.h"

#define STANDARD_SIZE "4G"

enum { FLUSH_MS = 3000 }; /* as vt_prefix_options.flush_ms */

const vt_option vt_cli_caching_options[] = {
    {.name = "kv-store",
     .argument = "WHERE",
     .kind = VT_OPTION_CHOICE,
     .choices = "disk|ram|off",
     .standard = "disk",
     .help = "where keys and values of prompts are kept, so that another that begins like one "
             "starts at once ('vetro kv')"},
    {.name = "kv-store-size",
     .argument = "SIZE",
     .kind = VT_OPTION_TEXT,
     .standard = STANDARD_SIZE,
     .help = "most bytes of them on disk, and no more than a tenth of what is free there"},
    {.name = "explain-cache",
     .help = "say on standard error, and in --json as \"cache\", what of each prompt was reused, "
             "and why not more"},
    {0},
};

bool vt_cli_parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    vt_slice s = vt_slice_cstr(text);
    double value, factor = 1;
    if (vt_slice_ends(s, VT_S("iB"))) s.len -= 2;
    else if (vt_slice_ends(s, VT_S("B"))) s.len -= 1;
    const char unit = s.len > 0 ? s.ptr[s.len - 1] : '\0';
    const bool is_lower = unit >= 'a' && unit <= 'z';
    const char *at = unit != '\0' ? strchr(units, is_lower ? unit - 'a' + 'A' : unit) : NULL;
    if (at != NULL) {
        for (const char *u = units; u <= at; u++) factor *= 1024;
        s.len--;
    }
    s = vt_slice_trim(s);
    if (!vt_parse_double(s, &value) || value < 0 || value * factor > 0x1p60) return false;
    *out = (uint64_t)(value * factor);
    return true;
}

uint64_t vt_cli_prefix_standard_size(void)
{
    uint64_t size = 0;
    VT_CHECK(vt_cli_parse_size(STANDARD_SIZE, &size));
    return size;
}

int vt_cli_check_prefixes(const vt_args *args)
{
    uint64_t size;
    const char *text = vt_args_text(args, "kv-store-size");
    if (vt_cli_parse_size(text, &size)) return VT_EXIT_OK;
    return vt_cli_usage(args, "--kv-store-size: '%.40s' is no size like 4G or 500M", text);
}

int vt_cli_prefix_dir(char **out)
{
    return vt_cli_data_path("kv", out);
}

/* --explain-cache, after each prompt; ctx is the vt_cli_model. */
static void explain(void *ctx, const vt_prefix_report *report)
{
    const vt_cli_model *m = ctx;
    const vt_tokenizer *t = vt_engine_tokenizer(m->engine);
    vt_buffer text;
    if (m->explained != NULL)
        json_array_append_new(m->explained, vt_prefix_explain_json(report, t));
    vt_buffer_init(&text, 0);
    vt_prefix_explain(report, t, &text);
    fflush(stdout);
    if (isatty(STDERR_FILENO) == 1) fputs("\r\033[K", stderr); /* a progress bar may be there */
    vt_cli_print_safe(stderr, vt_buffer_slice(&text), true);
    vt_buffer_deinit(&text);
}

void vt_cli_explain_writing(const vt_args *args, const vt_cli_model *m)
{
    char problem[192];
    if (m->engine == NULL || !vt_args_flag(args, "explain-cache")) return;
    (void)vt_engine_flush_prefixes(m->engine, FLUSH_MS);
    if (!vt_engine_prefix_problem(m->engine, problem, sizeof problem)) return;
    vt_cli_note("cache: not written: %s", problem);
    const size_t n = json_array_size(m->explained);
    if (n > 0)
        json_object_set_new(json_array_get(m->explained, n - 1), "problem",
                            vt_json_string(vt_slice_cstr(problem)));
}

/* Is the digest that of the very files that were loaded? Not for a file that is not in the store,
 * or was touched, or replaced while it was loaded. */
static bool is_digest_known(const vt_cli_model *m)
{
    const vt_packed *packed = vt_gguf_packed(vt_model_gguf(vt_engine_model(m->engine)));
    char source[VT_SHA256_HEX + 1];
    vt_store *store = NULL;
    if (m->entry.digest[0] == '\0' || m->entry.is_stale) return false;
    if (packed != NULL) {
        vt_sha256_hex(packed->header.source, source);
        return strcmp(source, m->entry.digest) == 0;
    }
    if (vt_cli_open_store(&store) != VT_EXIT_OK) return false;
    const bool is_known = vt_store_recheck(store, &m->entry, NULL) == VT_OK;
    vt_store_close(store);
    return is_known;
}

int vt_cli_keep_prefixes(const vt_args *args, vt_cli_model *m)
{
    const char *where = vt_args_text(args, "kv-store");
    const bool explains = vt_args_flag(args, "explain-cache");
    vt_err err = {0};
    char *dir = NULL;
    if (strcmp(where, "off") == 0) {
        if (explains) vt_cli_note("cache: off (--kv-store off)");
        return VT_EXIT_OK;
    }
    vt_prefix_options options = {
        .explains = explains, .on_sync = explains ? explain : NULL, .ctx = m};
    VT_CHECK(vt_cli_parse_size(vt_args_text(args, "kv-store-size"), &options.disk_bytes));
    const bool is_known = is_digest_known(m);
    if (strcmp(where, "disk") == 0 && is_known) {
        const int code = vt_cli_prefix_dir(&dir);
        if (code != VT_EXIT_OK) return code;
        options.dir = dir;
        options.digest = m->entry.digest;
    } else if (strcmp(where, "disk") == 0 && explains) {
        vt_cli_note("cache: nothing is kept on disk for a model without a known digest: 'vetro "
                    "pull %s' makes it known",
                    m->entry.path);
    }
    vt_status st = vt_engine_keep_prefixes(m->engine, &options, &err);
    if (st == VT_EIO) { /* the directory: say so, and go on with RAM */
        vt_cli_note("vetro: prompts are not kept on disk: %s", err.msg);
        options.dir = NULL;
        st = vt_engine_keep_prefixes(m->engine, &options, &err);
    }
    vt_free(dir);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

void vt_cli_forget_prefixes(const uint8_t digest[VT_SHA256_BYTES])
{
    char *dir = NULL;
    vt_prefix_files *files = NULL;
    vt_err err = {0};
    vt_key model;
    memcpy(model.bytes, digest, sizeof model.bytes);
    const vt_prefix_gc options = {.max_bytes = UINT64_MAX, .forgets = &model, .waits = true};
    vt_prefix_gc_result r = {0};
    if (vt_cli_prefix_dir(&dir) != VT_EXIT_OK) return;
    vt_status st = vt_prefix_files_open(dir, false, &files, &err);
    if (st == VT_OK) st = vt_prefix_files_gc(files, &options, &r, &err);
    if (st == VT_OK && r.n_failed > 0) st = vt_fail(&err, VT_EIO, "%s", r.why.msg);
    if (r.n_removed > 0)
        vt_cli_note("vetro: %zu stored blocks of prompts were removed: they may have been computed "
                    "with it",
                    r.n_removed);
    if (st != VT_OK && st != VT_ENOTFOUND)
        vt_cli_note("vetro: blocks of prompts that may have been computed with it are still "
                    "stored: %s; 'vetro kv gc --all' removes all",
                    err.msg);
    vt_prefix_files_close(files);
    vt_free(dir);
}
