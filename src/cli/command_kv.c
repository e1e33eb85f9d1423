/* command_kv.c -- `vetro kv`: the prefixes that are stored on disk. */
#include "cli/documents.h"
#include "cli/prefixes.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "engine/kv.h"
#include "kernels/kernels.h"

enum { SHOWN_TOKENS = 12, MAX_MODELS = 64, TEXT_COLUMNS = 34 };

/* A model that blocks belong to, as this machine knows it. */
typedef struct {
    vt_key digest;
    char hex[VT_SHA256_HEX + 1];
    vt_cli_header header; /* zero: it is not here */
    bool is_here;
} known_model;

typedef struct {
    const vt_args *args;
    char *dir;
    vt_prefix_files *files; /* NULL: nothing was ever stored */
    known_model models[MAX_MODELS];
    size_t n_models;
    vt_store_entry *entries;
    size_t n_entries;
} kv_state;

/* ---- texts of tokens ---- */

static void open_tokenizer(kv_state *k, known_model *m)
{
    for (size_t i = 0; i < k->n_entries && !m->is_here; i++) {
        const vt_store_entry *e = &k->entries[i];
        if (e->problem != NULL || strcmp(e->digest, m->hex) != 0) continue;
        vt_cli_header h = {0};
        if (vt_gguf_open(e->path, &h.gguf, NULL) == VT_OK &&
            vt_tokenizer_from_gguf(h.gguf, &h.tokenizer, NULL) == VT_OK) {
            h.entry.name = vt_strdup(vt_slice_cstr(e->name));
            m->header = h;
            m->is_here = true;
        } else {
            vt_cli_close_header(&h);
        }
    }
}

static const known_model *model_of(kv_state *k, const vt_key *digest)
{
    for (size_t i = 0; i < k->n_models; i++)
        if (vt_key_eq(&k->models[i].digest, digest)) return &k->models[i];
    if (k->n_models == MAX_MODELS) return &k->models[MAX_MODELS - 1];
    known_model *m = &k->models[k->n_models++];
    m->digest = *digest;
    vt_sha256_hex(digest->bytes, m->hex);
    open_tokenizer(k, m);
    return m;
}

/* The text of some tokens, control tokens left out, white space made one blank. */
static void append_text(const known_model *m, const int32_t *tokens, size_t n, vt_buffer *out)
{
    bool is_space = true;
    vt_buffer_clear(out);
    vt_buffer_append(out, VT_S(""));
    for (size_t i = 0; i < n; i++) {
        if (!m->is_here) {
            vt_buffer_printf(out, i > 0 ? " %d" : "%d", tokens[i]);
            continue;
        }
        if (vt_tokenizer_is_control(m->header.tokenizer, tokens[i])) continue;
        const vt_slice text = vt_tokenizer_bytes(m->header.tokenizer, tokens[i]);
        for (size_t b = 0; b < text.len; b++) {
            const bool was_space = is_space;
            is_space = strchr(" \t\r\n", text.ptr[b]) != NULL;
            if (!is_space) vt_buffer_byte(out, text.ptr[b]);
            else if (!was_space) vt_buffer_byte(out, ' ');
        }
    }
}

/* ---- list ---- */

/* One stored prefix: a block that nothing follows, with all before it. */
typedef struct {
    const vt_prefix_file *end;
    const vt_prefix_file *begin;
    uint64_t n_bytes;
} prefix;

static prefix prefix_of(const vt_prefix_listing *l, const vt_prefix_file *end)
{
    prefix p = {.end = end, .begin = end, .n_bytes = end->n_bytes};
    while (p.begin->parent != UINT32_MAX) {
        p.begin = &l->files[p.begin->parent];
        p.n_bytes += p.begin->n_bytes;
    }
    return p;
}

static size_t n_tokens_of(const prefix *p)
{
    return (size_t)p->end->block.position + p->end->block.n_tokens;
}

/* Its first and its last tokens as text. */
static void texts_of(const known_model *m, const prefix *p, vt_buffer *begins, vt_buffer *ends)
{
    const vt_block *first = &p->begin->block, *last = &p->end->block;
    const size_t n_first = first->n_tokens < SHOWN_TOKENS ? first->n_tokens : SHOWN_TOKENS;
    const size_t n_last = last->n_tokens < SHOWN_TOKENS ? last->n_tokens : SHOWN_TOKENS;
    append_text(m, first->tokens, n_first, begins);
    append_text(m, last->tokens + last->n_tokens - n_last, n_last, ends);
}

static int by_use(const void *a, const void *b)
{
    const prefix *x = a, *y = b;
    if (x->end->used_ns != y->end->used_ns) return x->end->used_ns > y->end->used_ns ? -1 : 1;
    return strcmp(x->end->name, y->end->name);
}

static json_t *prefix_json(const known_model *m, const prefix *p, vt_buffer *begins,
                           vt_buffer *ends)
{
    const vt_block *b = &p->end->block;
    texts_of(m, p, begins, ends);
    return json_pack(
        "{s:s, s:o, s:s, s:I, s:I, s:I, s:b, s:o, s:o}", "model", m->hex, "name",
        m->is_here ? json_string(m->header.entry.name) : json_null(), "kv_type",
        vt_kv_code_name(b->kv_code), "tokens", (json_int_t)n_tokens_of(p), "bytes",
        (json_int_t)p->n_bytes, "last_used", (json_int_t)(p->end->used_ns / 1000000000), "usable",
        (int)(b->numerics == VT_NUMERICS_VERSION), "begins",
        vt_json_string(vt_buffer_slice(begins)), "ends", vt_json_string(vt_buffer_slice(ends)));
}

/* Cut to a column's width, at a character. */
static void print_cut(const vt_buffer *text)
{
    size_t n = text->len < TEXT_COLUMNS ? text->len : TEXT_COLUMNS;
    while (n < text->len && n > 0 && ((unsigned char)text->ptr[n] & 0xC0) == 0x80) n--;
    vt_cli_print_safe(stdout, vt_slice_of(text->ptr, n), false);
}

static void print_prefix(const known_model *m, const prefix *p, vt_buffer *begins, vt_buffer *ends)
{
    char size[VT_CLI_SIZE_TEXT], when[32] = "?";
    const time_t used = (time_t)(p->end->used_ns / 1000000000);
    struct tm parts;
    if (localtime_r(&used, &parts) != NULL) strftime(when, sizeof when, "%Y-%m-%d %H:%M", &parts);
    texts_of(m, p, begins, ends);
    printf("%-22.22s %-5s %7zu %10s  %s  ", m->is_here ? m->header.entry.name : m->hex,
           vt_kv_code_name(p->end->block.kv_code), n_tokens_of(p),
           vt_cli_size_text(p->n_bytes, size), when);
    print_cut(begins);
    fputs(" ... ", stdout);
    print_cut(ends);
    putchar('\n');
}

/* Blocks whose header is damaged, or which stand behind one that is, or is gone. */
static size_t count_unusable(const vt_prefix_listing *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) n += l->files[i].problem[0] != '\0' || l->files[i].is_lost;
    return n;
}

static void print_sum(const vt_prefix_listing *l, size_t n, size_t n_unusable)
{
    char size[VT_CLI_SIZE_TEXT];
    if (l->n == 0)
        puts("no prefixes are stored yet: 'run', 'chat' and 'ask' store those of prompts");
    else
        printf("%zu prefix%s in %zu block%s, %s together; what they share counts once there\n", n,
               n == 1 ? "" : "es", l->n, l->n == 1 ? "" : "s", vt_cli_size_text(l->n_bytes, size));
    if (n_unusable > 0)
        printf("%zu of the blocks can't be used: 'vetro kv verify' tells more\n", n_unusable);
}

static int print_prefixes(kv_state *k, const vt_prefix_listing *l, prefix *list, size_t n)
{
    const size_t n_unusable = count_unusable(l);
    const bool as_json = vt_args_flag(k->args, "json");
    vt_buffer begins, ends;
    vt_buffer_init(&begins, 1 << 20);
    vt_buffer_init(&ends, 1 << 20);
    json_t *prefixes = json_array();
    if (!as_json && n > 0)
        printf("%-22s %-5s %7s %10s  %-16s  %s\n", "MODEL", "KV", "TOKENS", "SIZE", "LAST USED",
               "BEGINS ... ENDS");
    for (size_t i = 0; i < n; i++) {
        const known_model *m = model_of(k, &list[i].end->block.model);
        if (as_json) json_array_append_new(prefixes, prefix_json(m, &list[i], &begins, &ends));
        else print_prefix(m, &list[i], &begins, &ends);
    }
    vt_buffer_deinit(&begins);
    vt_buffer_deinit(&ends);
    if (as_json)
        return vt_cli_print_json(json_pack("{s:o, s:I, s:I, s:I, s:o}", "prefixes", prefixes,
                                           "blocks", (json_int_t)l->n, "unusable",
                                           (json_int_t)n_unusable, "bytes", (json_int_t)l->n_bytes,
                                           "directory", vt_json_string(vt_slice_cstr(k->dir))));
    json_decref(prefixes);
    print_sum(l, n, n_unusable);
    return VT_EXIT_OK;
}

static int list_prefixes(kv_state *k)
{
    vt_prefix_listing l = {0};
    vt_err err = {0};
    vt_store *store = NULL;
    size_t n = 0;
    if (k->files != NULL && vt_prefix_files_list(k->files, &l, &err) != VT_OK)
        return vt_cli_fail(&err, NULL);
    int code = vt_cli_open_store(&store);
    if (code == VT_EXIT_OK && vt_store_list(store, &k->entries, &k->n_entries, &err) != VT_OK)
        k->n_entries = 0; /* then digests stand for the names */
    prefix *list = vt_calloc(l.n + 1, sizeof *list);
    if (list == NULL) code = vt_cli_fail(&(vt_err){.code = VT_ENOMEM}, NULL);
    for (size_t i = 0; i < l.n && code == VT_EXIT_OK; i++)
        if (l.files[i].is_leaf && !l.files[i].is_lost && l.files[i].problem[0] == '\0')
            list[n++] = prefix_of(&l, &l.files[i]);
    if (code == VT_EXIT_OK) {
        qsort(list, n, sizeof *list, by_use);
        code = print_prefixes(k, &l, list, n);
    }
    vt_free(list);
    vt_store_close(store);
    vt_prefix_listing_deinit(&l);
    return code;
}

/* ---- verify ---- */

typedef struct {
    size_t n_damaged, n_lost, n_other;
    size_t n_denied; /* files that this user may not read */
    vt_err denied;   /* the first of them */
    json_t *damaged;
} findings;

static vt_status verify_files(kv_state *k, const vt_prefix_listing *l, findings *found, vt_err *err)
{
    uint8_t *image = NULL;
    size_t room = 0;
    vt_status st = VT_OK;
    vt_cli_progress bar;
    vt_cli_progress_begin(&bar);
    for (size_t i = 0; i < l->n && st == VT_OK; i++) {
        const vt_prefix_file *f = &l->files[i];
        vt_err why = {0};
        if (vt_progress_cancelled(&bar.progress)) st = vt_fail(err, VT_ECANCEL, "cancelled");
        else st = vt_prefix_files_verify(k->files, f, &image, &room, &why);
        vt_progress_report(&bar.progress, "checking", i + 1, l->n);
        if (why.sys_errno == EACCES) {
            if (found->n_denied++ == 0) found->denied = why;
            st = VT_OK;
        } else if (vt_prefix_is_damage(st)) {
            found->n_damaged++;
            json_array_append_new(found->damaged,
                                  json_pack("{s:s, s:o}", "file", f->name, "reason",
                                            vt_json_string(vt_slice_cstr(why.msg))));
            st = VT_OK;
        } else if (st == VT_OK) {
            found->n_lost += f->is_lost;
            found->n_other += f->block.numerics != VT_NUMERICS_VERSION;
        } else if (st == VT_ENOTFOUND) {
            st = VT_OK; /* removed meanwhile, by another process */
        } else if (st != VT_ECANCEL && err != NULL) {
            *err = why;
        }
    }
    vt_cli_progress_end(&bar);
    vt_free(image);
    return st;
}

static void print_findings(const vt_prefix_listing *l, const findings *found)
{
    char size[VT_CLI_SIZE_TEXT];
    for (size_t i = 0; i < found->n_damaged; i++) {
        const json_t *d = json_array_get(found->damaged, i);
        printf("damaged: %s: %s\n", json_string_value(json_object_get(d, "file")),
               json_string_value(json_object_get(d, "reason")));
    }
    printf("%zu blocks, %s: %zu damaged", l->n, vt_cli_size_text(l->n_bytes, size),
           found->n_damaged);
    if (found->n_lost > 0) printf(", %zu whose prefix is gone", found->n_lost);
    if (found->n_other > 0) printf(", %zu of another numerics version", found->n_other);
    if (l->n_temporary > 0) printf(", %zu unfinished", l->n_temporary);
    putchar('\n');
    if (found->n_damaged > 0) puts("none of them will be used; 'vetro kv gc' removes them");
}

static int verify(kv_state *k)
{
    vt_prefix_listing l = {0};
    vt_err err = {0};
    findings found = {.damaged = json_array()};
    vt_status st = VT_OK;
    if (k->files != NULL) st = vt_prefix_files_list(k->files, &l, &err);
    if (st == VT_OK && k->files != NULL) st = verify_files(k, &l, &found, &err);
    int code = st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
    if (code == VT_EXIT_OK && vt_args_flag(k->args, "json"))
        code = vt_cli_print_json(json_pack(
            "{s:b, s:I, s:I, s:O, s:I, s:I, s:I, s:I}", "verified",
            found.n_damaged + found.n_denied == 0, "blocks", (json_int_t)l.n, "bytes",
            (json_int_t)l.n_bytes, "damaged", found.damaged, "unreadable",
            (json_int_t)found.n_denied, "lost", (json_int_t)found.n_lost, "other_numerics",
            (json_int_t)found.n_other, "unfinished", (json_int_t)l.n_temporary));
    else if (code == VT_EXIT_OK) print_findings(&l, &found);
    json_decref(found.damaged);
    vt_prefix_listing_deinit(&l);
    if (code == VT_EXIT_OK && found.n_denied > 0) {
        vt_cli_note("vetro: %zu block%s not checked: %s", found.n_denied,
                    found.n_denied == 1 ? " was" : "s were", found.denied.msg);
        return VT_EXIT_FAILED;
    }
    return code == VT_EXIT_OK && found.n_damaged > 0 ? VT_EXIT_UNVERIFIED : code;
}

/* ---- gc ---- */

static int gc(kv_state *k)
{
    vt_prefix_gc_result r = {0};
    vt_err err = {0};
    vt_cli_progress bar;
    char freed[VT_CLI_SIZE_TEXT], left[VT_CLI_SIZE_TEXT];
    vt_prefix_gc options = {.max_bytes = vt_cli_prefix_standard_size(),
                            .all = vt_args_flag(k->args, "all"),
                            .checks = !vt_args_flag(k->args, "all"),
                            .waits = true,
                            .progress = &bar.progress};
    const char *max = vt_args_text(k->args, "max");
    if (max != NULL && options.all)
        return vt_cli_usage(k->args, "--all keeps nothing, --max up to SIZE: one of them");
    if (max != NULL && !vt_cli_parse_size(max, &options.max_bytes))
        return vt_cli_usage(k->args, "--max: '%.40s' is no size like 4G or 500M", max);
    vt_status st = VT_OK;
    vt_cli_progress_begin(&bar);
    if (k->files != NULL) st = vt_prefix_files_gc(k->files, &options, &r, &err);
    vt_cli_progress_end(&bar);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    if (r.n_failed > 0)
        vt_cli_note("vetro: %zu blocks could not be removed: %s", r.n_failed, r.why.msg);
    const int code = r.n_failed > 0 ? VT_EXIT_FAILED : VT_EXIT_OK;
    if (vt_args_flag(k->args, "json")) {
        const int printed = vt_cli_print_json(
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "removed", (json_int_t)r.n_removed,
                      "damaged", (json_int_t)r.n_damaged, "unfinished", (json_int_t)r.n_unfinished,
                      "bytes_removed", (json_int_t)r.bytes_removed, "blocks", (json_int_t)r.n_left,
                      "bytes", (json_int_t)r.bytes_left, "failed", (json_int_t)r.n_failed));
        return code != VT_EXIT_OK ? code : printed;
    }
    printf("removed %zu blocks, %zu of them damaged", r.n_removed, r.n_damaged);
    if (r.n_unfinished > 0)
        printf(", and %zu unfinished files of processes that were killed", r.n_unfinished);
    printf(" (%s); %zu are left (%s)\n", vt_cli_size_text(r.bytes_removed, freed), r.n_left,
           vt_cli_size_text(r.bytes_left, left));
    return code;
}

/* ---- the command ---- */

static int run_kv(const vt_args *args)
{
    static const struct {
        const char *name;
        int (*run)(kv_state *k);
    } actions[] = {{"list", list_prefixes}, {"verify", verify}, {"gc", gc}};
    kv_state k = {.args = args};
    const char *name = vt_args_operand(args, 0);
    vt_err err = {0};
    size_t i = 0;
    while (i < VT_COUNT(actions) && strcmp(actions[i].name, name) != 0) i++;
    if (i == VT_COUNT(actions))
        return vt_cli_usage(args, "'%.40s' is none of list, verify, gc", name);
    if (strcmp(name, "gc") != 0 && (vt_args_has(args, "max") || vt_args_flag(args, "all")))
        return vt_cli_usage(args, "--max and --all belong to 'vetro kv gc'");
    int code = vt_cli_prefix_dir(&k.dir);
    if (code != VT_EXIT_OK) return code;
    vt_status st = vt_prefix_files_open(k.dir, false, &k.files, &err);
    if (st != VT_OK && st != VT_ENOTFOUND) code = vt_cli_fail(&err, NULL);
    if (code == VT_EXIT_OK) code = actions[i].run(&k);
    for (size_t m = 0; m < k.n_models; m++) vt_cli_close_header(&k.models[m].header);
    for (size_t e = 0; e < k.n_entries; e++) vt_store_entry_deinit(&k.entries[e]);
    vt_free(k.entries);
    vt_prefix_files_close(k.files);
    vt_free(k.dir);
    return code;
}

static const vt_option options[] = {
    {.name = "max",
     .argument = "SIZE",
     .kind = VT_OPTION_TEXT,
     .help = "gc: keep the prefixes used last, up to SIZE (else 4G)"},
    {.name = "all", .help = "gc: remove every stored prefix"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_kv = {
    .name = "kv",
    .summary = "the stored beginnings of prompts: list, verify, remove",
    .usage = "[OPTION]... list|verify|gc",
    .description =
        "'run', 'chat' and 'ask' keep the keys and values that a model computed for a prompt, so "
        "that another prompt which begins like it starts at once, with the same bits. 'list' shows "
        "the prefixes, 'verify' reads every block and compares its checksum (exit 4 when one is "
        "damaged; it would not be used), 'gc' removes what is damaged or of no use and then what "
        "was not used for longest. They hold your texts, as tokens: 'gc --all' removes them all.",
    .examples = "vetro kv list\n"
                "vetro kv verify --json\n"
                "vetro kv gc --max 500M\n"
                "vetro kv gc --all\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_kv,
};
