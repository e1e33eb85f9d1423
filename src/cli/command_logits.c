/* command_logits.c -- `vetro logits`: the logits of given token ids, for checks against other
 * implementations. Works on a model without a tokenizer. */
#include "cli/models.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/replace.h"
#include "cli/output.h"

enum { MAX_TOKENS = 1 << 24 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian");

/* Results take the file's name only when they are whole: a comparison never sees half a file. */
typedef struct {
    vt_replacement file;
    size_t row_bytes;
    size_t n_rows;
} output;

static vt_status read_tokens(const char *path, size_t n_vocab, int32_t **ids, size_t *n,
                             vt_err *err)
{
    vt_buffer b;
    vt_buffer_init(&b, (size_t)MAX_TOKENS * 4 + 131072);
    vt_status st = vt_file_read(path, (size_t)MAX_TOKENS * 4, &b, err);
    if (st == VT_OK && (b.len == 0 || b.len % 4 != 0))
        st = vt_fail(err, VT_EINPUT, "%.200s: %zu bytes are no list of 4-byte token ids", path,
                     b.len);
    if (st == VT_OK) {
        *ids = vt_calloc(b.len / 4, sizeof **ids);
        if (*ids == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
    }
    if (st == VT_OK) {
        *n = b.len / 4;
        memcpy(*ids, b.ptr, b.len);
        for (size_t i = 0; i < *n && st == VT_OK; i++)
            if ((*ids)[i] < 0 || (size_t)(*ids)[i] >= n_vocab)
                st = vt_fail(err, VT_EINPUT,
                             "%.200s: id %d at position %zu is not in the vocabulary of %zu", path,
                             (*ids)[i], i, n_vocab);
    }
    vt_buffer_deinit(&b);
    return st;
}

/* Before anything is computed: what is at the path may not be replaceable, nor the directory
 * writable. */
static vt_status open_output(output *o, const char *path, const vt_store_entry *model, vt_err *err)
{
    vt_status st = vt_cli_check_output(path, model->path, err);
    if (st == VT_OK && model->packed != NULL) st = vt_cli_check_output(path, model->packed, err);
    if (st != VT_OK) return st;
    st = vt_replacement_begin(path, &o->file, err);
    if (st != VT_OK) return vt_fail_wrap(err, st, "cannot write %.100s", path);
    fchmod(o->file.fd, 0644); /* nothing of the user's is in it */
    return VT_OK;
}

static vt_status on_logits(void *ctx, size_t position, const float *logits, vt_err *err)
{
    output *o = ctx;
    (void)position;
    o->n_rows++;
    return vt_file_write_all(o->file.fd, vt_slice_of((const char *)logits, o->row_bytes), err);
}

static int compute(const vt_args *args, const int32_t *ids, size_t n, output *o)
{
    vt_cli_model m = {0};
    vt_err err = {0};
    vt_session_options wanted = {.n_ctx = (uint32_t)n,
                                 .n_chunk = (uint32_t)vt_args_int(args, "chunk")};
    int code = vt_cli_open_model(args, vt_args_operand(args, 0), &wanted, &m);
    if (code != VT_EXIT_OK) {
        vt_replacement_abort(&o->file);
        return code;
    }
    o->row_bytes = vt_model_get_info(vt_engine_model(m.engine))->n_vocab * sizeof(float);
    vt_cli_progress bar;
    vt_cli_progress_begin(&bar);
    vt_status st = vt_session_extend_all(m.session, ids, n, on_logits, o, &bar.progress, &err);
    vt_cli_progress_end(&bar);
    if (st == VT_OK) st = vt_replacement_commit(&o->file, &err);
    else vt_replacement_abort(&o->file);
    vt_cli_close_model(&m);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    if (vt_args_flag(args, "json"))
        return vt_cli_print_json(json_pack("{s:I, s:I}", "tokens", (json_int_t)o->n_rows,
                                           "vocabulary",
                                           (json_int_t)(o->row_bytes / sizeof(float))));
    printf("%zu tokens, %zu logits each\n", o->n_rows, o->row_bytes / sizeof(float));
    return VT_EXIT_OK;
}

/* The vocabulary is known from the header, so ids are checked before weights are loaded. */
static vt_status header_vocabulary(const char *path, size_t *n_vocab, vt_err *err)
{
    vt_gguf *g = NULL;
    vt_status st = vt_gguf_open(path, &g, err);
    if (st == VT_OK) {
        const vt_gguf_tensor *t = vt_gguf_find_tensor(g, VT_S("token_embd.weight"));
        if (t == NULL)
            st = vt_fail(err, VT_EINPUT, "%.200s has no token_embd.weight: it is no language model",
                         path);
        else *n_vocab = (size_t)t->dims[1];
    }
    vt_gguf_close(g);
    return st;
}

static int run_logits(const vt_args *args)
{
    int32_t *ids = NULL;
    size_t n = 0;
    size_t n_vocab = 0;
    vt_store_entry model = {0};
    output o = {0};
    vt_err err = {0};
    if (!vt_args_has(args, "tokens") || !vt_args_has(args, "out"))
        return vt_cli_usage(args, "--tokens and --out are needed");
    int code = vt_cli_find_model(vt_args_operand(args, 0), false, &model);
    if (code != VT_EXIT_OK) return code;
    vt_status st = header_vocabulary(model.path, &n_vocab, &err);
    if (st == VT_OK) st = read_tokens(vt_args_text(args, "tokens"), n_vocab, &ids, &n, &err);
    if (st == VT_OK) st = open_output(&o, vt_args_text(args, "out"), &model, &err);
    vt_store_entry_deinit(&model);
    if (st == VT_OK) code = compute(args, ids, n, &o);
    else code = vt_cli_fail(&err, NULL);
    vt_free(ids);
    return code;
}

static const vt_option options[] = {
    {.name = "tokens",
     .argument = "FILE",
     .kind = VT_OPTION_TEXT,
     .help = "token ids, little-endian int32 (\"-\": standard input)"},
    {.name = "out",
     .letter = 'o',
     .argument = "FILE",
     .kind = VT_OPTION_TEXT,
     .help = "where to write the logits, float32 [tokens, vocabulary]"},
    {.name = "chunk",
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = 1 << 20,
     .standard = "0",
     .help = "tokens in one prefill step (0: 512); the bits do not depend on it"},
    {.name = "json", .help = "print the counts as JSON"},
    {0},
};

const vt_command vt_command_logits = {
    .name = "logits",
    .summary = "the logits of given token ids, for comparing implementations",
    .usage = "[OPTION]... MODEL --tokens FILE --out FILE",
    .description = "Row i of the result holds the logits after token i. Needs no tokenizer. The "
                   "context is as long as the tokens, unless --ctx is given.",
    .examples =
        "vetro logits model.gguf --tokens ids.i32 --out logits.f32\n"
        "vetro logits model.gguf --tokens ids.i32 --out logits.f32 --kv-type f32 --chunk 1\n",
    .options = options,
    .shared = vt_cli_model_options,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_logits,
};
