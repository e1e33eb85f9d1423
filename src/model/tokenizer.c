/* tokenizer.c -- the interface of tokenizer.h over the tables: lists of ids, encoding (repair,
 * normalise, split, merge), decoding, look-ups. Building the tables is tokenizer_vocab.c's, reading
 * them from a model file tokenizer_gguf.c's.
 *
 * Encoding cannot make an added token: pieces become ids by the table of normal tokens and by
 * merges, which name normal tokens only. */
#include "model/tokenizer.h"

#include "base/alloc.h"
#include "base/checked.h"
#include "base/utf8.h"
#include "model/tokenizer_bpe.h"
#include "model/tokenizer_nfc.h"

/* A text becomes at most as many tokens as it has bytes. */
enum { MAX_TEXT = 1 << 30, MAX_TOKENS = INT32_MAX };

void vt_tokens_deinit(vt_tokens *t)
{
    vt_free(t->ids);
    *t = (vt_tokens){0};
}

static vt_status reserve(vt_tokens *t, size_t extra, vt_err *err)
{
    size_t need;
    if (!vt_add_size(t->n, extra, &need) || need > MAX_TOKENS)
        return vt_fail(err, VT_ELIMIT, "more than %d tokens", MAX_TOKENS);
    if (!vt_grow((void **)&t->ids, &t->cap, need, sizeof *t->ids, MAX_TOKENS))
        return vt_fail(err, VT_ENOMEM, "no memory for %zu tokens", need);
    return VT_OK;
}

vt_status vt_tokens_push(vt_tokens *t, int32_t id, vt_err *err)
{
    if (t->n == t->cap) {
        vt_status st = reserve(t, 1, err);
        if (st != VT_OK) return st;
    }
    t->ids[t->n++] = id;
    return VT_OK;
}

vt_status vt_tokens_append(vt_tokens *t, const int32_t *ids, size_t n, vt_err *err)
{
    vt_status st = reserve(t, n, err);
    if (st != VT_OK) return st;
    if (n > 0) memcpy(t->ids + t->n, ids, n * sizeof *ids);
    t->n += n;
    return VT_OK;
}

void vt_tokenizer_free(vt_tokenizer *t)
{
    if (t == NULL) return;
    vt_free(t->bytes);
    vt_free(t->starts);
    vt_free(t->types);
    vt_free(t->text.slots);
    vt_free(t->added.slots);
    vt_free(t->merges);
    vt_free(t);
}

size_t vt_tokenizer_n_vocab(const vt_tokenizer *t)
{
    return t->n_tokens;
}

static vt_status encode_valid(const vt_tokenizer *t, vt_slice text, vt_tokens *out, vt_err *err)
{
    vt_bpe_work work = {0};
    vt_splitter splitter = vt__splitter(t->split, text);
    vt_slice piece;
    vt_status st = VT_OK;
    while (st == VT_OK && vt__split_next(&splitter, &piece))
        st = vt__bpe_encode(t, &work, piece, out, err);
    vt__bpe_work_deinit(&work);
    return st;
}

vt_status vt_tokenizer_encode(const vt_tokenizer *t, vt_slice text, vt_tokens *out, vt_err *err)
{
    if (text.len > MAX_TEXT)
        return vt_fail(err, VT_ELIMIT, "a text of %zu bytes, more than %d", text.len, MAX_TEXT);
    vt_status st = VT_OK;
    size_t before = out->n;
    vt_buffer repaired;
    vt_buffer normal;
    vt_buffer_init(&repaired, 3UL * MAX_TEXT);
    vt_buffer_init(&normal, 9UL * MAX_TEXT); /* NFC can triple a text once more */
    if (!vt_utf8_is_valid(text)) {
        if (!vt_utf8_replace_invalid(text, &repaired)) {
            st = vt_fail(err, VT_ENOMEM, "no memory to repair a text of %zu bytes", text.len);
            goto out;
        }
        text = vt_buffer_slice(&repaired);
    }
    if (t->is_nfc) {
        st = vt__nfc(text, &normal, err);
        if (st != VT_OK) goto out;
        text = vt_buffer_slice(&normal);
    }
    st = encode_valid(t, text, out, err);
out:
    if (st != VT_OK) out->n = before;
    vt_buffer_deinit(&repaired);
    vt_buffer_deinit(&normal);
    return st;
}

static bool is_id(const vt_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_tokens;
}

int32_t vt_tokenizer_control(const vt_tokenizer *t, vt_slice name)
{
    return vt__names_find(t, &t->added, name);
}

bool vt_tokenizer_is_control(const vt_tokenizer *t, int32_t id)
{
    return is_id(t, id) && t->types[id] == VT_TOKEN_CONTROL;
}

bool vt_tokenizer_is_text(const vt_tokenizer *t, int32_t id)
{
    return is_id(t, id) && (t->types[id] == VT_TOKEN_NORMAL || t->types[id] == VT_TOKEN_BYTE);
}

vt_slice vt_tokenizer_bytes(const vt_tokenizer *t, int32_t id)
{
    if (!is_id(t, id)) return (vt_slice){0};
    return (vt_slice){t->bytes + t->starts[id], t->starts[id + 1] - t->starts[id]};
}

vt_status vt_tokenizer_decode(const vt_tokenizer *t, const int32_t *ids, size_t n,
                              bool with_control, vt_buffer *out, vt_err *err)
{
    size_t before = out->len;
    for (size_t i = 0; i < n; i++) {
        if (!with_control && vt_tokenizer_is_control(t, ids[i])) continue;
        if (vt_buffer_append(out, vt_tokenizer_bytes(t, ids[i]))) continue;
        vt_status st = vt_buffer_status(out, "the text of the tokens", err);
        out->len = before;
        return st;
    }
    return VT_OK;
}

int32_t vt_tokenizer_bos(const vt_tokenizer *t)
{
    return t->bos;
}

int32_t vt_tokenizer_eos(const vt_tokenizer *t)
{
    return t->eos;
}

bool vt_tokenizer_adds_bos(const vt_tokenizer *t)
{
    return t->adds_bos;
}

const char *vt_tokenizer_split_name(const vt_tokenizer *t)
{
    static const char *const names[] = {
        [VT_SPLIT_GPT2] = "gpt2",   [VT_SPLIT_SMOLLM] = "smollm", [VT_SPLIT_LLAMA3] = "llama3",
        [VT_SPLIT_QWEN2] = "qwen2", [VT_SPLIT_O200K] = "o200k",
    };
    return names[t->split];
}
