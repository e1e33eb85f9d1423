/* command_logits.c -- `vetro logits`: the logits of given token ids, for checks against other
 * implementations. Works on a model without a tokenizer. */
#include "cli/models.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum { MAX_TOKENS = 1 << 24 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian");

/* Results go to a temporary file that takes its name only when it is whole: a comparison never sees
 * half a file. */
typedef struct {
    char *temp;
    int fd;
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

static vt_status open_output(output *o, const char *path, vt_err *err)
{
    vt_buffer b;
    vt_buffer_init(&b, 65536);
    vt_buffer_printf(&b, "%s.XXXXXX", path);
    o->temp = b.failed ? NULL : vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    if (o->temp == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    o->fd = mkostemp(o->temp, O_CLOEXEC);
    if (o->fd < 0) {
        vt_status st = vt_fail_errno(err, VT_EIO, "cannot write %.200s", path);
        vt_free(o->temp);
        o->temp = NULL;
        return st;
    }
    fchmod(o->fd, 0644);
    return VT_OK;
}

static vt_status close_output(output *o, const char *path, vt_status st, vt_err *err)
{
    if (o->fd >= 0 && st == VT_OK && fsync(o->fd) != 0)
        st = vt_fail_errno(err, VT_EIO, "cannot sync %.200s", path);
    if (o->fd >= 0) close(o->fd);
    if (o->temp != NULL && st == VT_OK && rename(o->temp, path) != 0)
        st = vt_fail_errno(err, VT_EIO, "cannot rename %.150s to %.150s", o->temp, path);
    if (o->temp != NULL && st != VT_OK) unlink(o->temp);
    vt_free(o->temp);
    return st;
}

static vt_status on_logits(void *ctx, size_t position, const float *logits, vt_err *err)
{
    output *o = ctx;
    (void)position;
    o->n_rows++;
    return vt_file_write_all(o->fd, vt_slice_of((const char *)logits, o->row_bytes), err);
}

static int compute(const vt_args *args, const int32_t *ids, size_t n)
{
    vt_cli_model m = {0};
    vt_err err = {0};
    const char *path = vt_args_text(args, "out");
    output o = {.fd = -1};
    vt_session_options wanted = {.n_ctx = (uint32_t)n,
                                 .n_chunk = (uint32_t)vt_args_int(args, "chunk")};
    int code = vt_cli_open_model(args, vt_args_operand(args, 0), &wanted, &m);
    if (code != VT_EXIT_OK) return code;
    o.row_bytes = vt_model_get_info(vt_engine_model(m.engine))->n_vocab * sizeof(float);
    vt_cli_progress bar;
    vt_cli_progress_begin(&bar);
    vt_status st = open_output(&o, path, &err);
    if (st == VT_OK)
        st = vt_session_extend_all(m.session, ids, n, on_logits, &o, &bar.progress, &err);
    vt_cli_progress_end(&bar);
    st = close_output(&o, path, st, &err);
    vt_cli_close_model(&m);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    if (vt_args_flag(args, "json"))
        return vt_cli_print_json(json_pack("{s:I, s:I}", "tokens", (json_int_t)o.n_rows,
                                           "vocabulary",
                                           (json_int_t)(o.row_bytes / sizeof(float))));
    printf("%zu tokens, %zu logits each\n", o.n_rows, o.row_bytes / sizeof(float));
    return VT_EXIT_OK;
}

/* The vocabulary is known from the header, so ids are checked before weights are loaded. */
static int header_vocabulary(const char *model, size_t *n_vocab)
{
    vt_store_entry entry = {0};
    vt_gguf *g = NULL;
    vt_err err = {0};
    int code = vt_cli_find_model(model, false, &entry);
    if (code != VT_EXIT_OK) return code;
    vt_status st = vt_gguf_open(entry.path, &g, &err);
    if (st == VT_OK) {
        const vt_gguf_tensor *t = vt_gguf_find_tensor(g, VT_S("token_embd.weight"));
        if (t == NULL)
            st = vt_fail(&err, VT_EINPUT,
                         "%.200s has no token_embd.weight: it is no language model", entry.path);
        else *n_vocab = (size_t)t->dims[1];
    }
    vt_gguf_close(g);
    vt_store_entry_deinit(&entry);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

static int run_logits(const vt_args *args)
{
    int32_t *ids = NULL;
    size_t n = 0;
    size_t n_vocab = 0;
    vt_err err = {0};
    if (!vt_args_has(args, "tokens") || !vt_args_has(args, "out"))
        return vt_cli_usage(args, "--tokens and --out are needed");
    int code = header_vocabulary(vt_args_operand(args, 0), &n_vocab);
    if (code != VT_EXIT_OK) return code;
    if (read_tokens(vt_args_text(args, "tokens"), n_vocab, &ids, &n, &err) != VT_OK)
        code = vt_cli_fail(&err, NULL);
    else code = compute(args, ids, n);
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
