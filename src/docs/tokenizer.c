/* tokenizer.c -- words.h as a tokenizer of FTS5: what is stored are stems. */
#include "docs/index.h"
#include "docs/words.h"

static int create(void *ctx, const char **args, int n_args, Fts5Tokenizer **out)
{
    (void)ctx;
    (void)args;
    (void)n_args;
    /* It has no state; SQLite wants a pointer that isn't NULL and never looks through it. */
    static const char stateless = 0;
    *out = (Fts5Tokenizer *)(uintptr_t)&stateless;
    return SQLITE_OK;
}

static void destroy(Fts5Tokenizer *tokenizer)
{
    (void)tokenizer;
}

typedef int token_fn(void *ctx, int flags, const char *token, int n_token, int start, int end);

static int tokenize(Fts5Tokenizer *tokenizer, void *ctx, int flags, const char *text, int n_text,
                    token_fn *on_token)
{
    (void)tokenizer;
    vt_words words = vt_words_of(vt_slice_of(text, n_text < 0 ? 0 : (size_t)n_text));
    vt_word w;
    size_t pair_end = 0; /* where the last pair ended */
    while (vt_words_next(&words, &w)) {
        /* The single character that ends a run is for prefix queries; in a query it would ask for
         * the run to end there. */
        bool ends_run = w.is_pair && w.start > 0 && pair_end == w.end;
        pair_end = w.is_pair ? w.end : 0;
        if (ends_run && (flags & FTS5_TOKENIZE_QUERY)) continue;
        char stem[VT_WORD_MAX + 1];
        size_t len = w.is_pair ? w.len : vt_word_stem(w.text, w.len, stem);
        int rc = on_token(ctx, 0, w.is_pair ? w.text : stem, (int)len, (int)w.start, (int)w.end);
        if (rc != SQLITE_OK) return rc;
    }
    return SQLITE_OK;
}

int vt_tokenizer_register(sqlite3 *db)
{
    fts5_api *api = NULL;
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &stmt, NULL);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_pointer(stmt, 1, &api, "fts5_api_ptr", NULL);
    sqlite3_step(stmt);
    rc = sqlite3_finalize(stmt);
    if (rc != SQLITE_OK || api == NULL) return rc != SQLITE_OK ? rc : SQLITE_ERROR;
    fts5_tokenizer methods = {.xCreate = create, .xDelete = destroy, .xTokenize = tokenize};
    return api->xCreateTokenizer(api, "vetro", NULL, &methods, NULL);
}
