/* models.h -- how commands get at models: the store of this user, MODEL arguments, engines.
 * Failures are printed here; a command returns the exit code it is given. */
#ifndef VT_CLI_MODELS_H
#define VT_CLI_MODELS_H

#include "cli/cli.h"
#include "engine/engine.h"
#include "model/store.h"

/* DATA/NAME, where the program keeps things; free with vt_free. */
int vt_cli_data_path(const char *name, char **out);

/* The store below the data directory. */
int vt_cli_open_store(vt_store **out);

/* MODEL (a name or a path) to an entry of `store`; the message of a miss says what to do. */
int vt_cli_resolve_model(vt_store *store, const char *model, vt_store_entry *out);

/* The same in one call, without a store in hand. Free with vt_store_entry_deinit. When `digest` is
 * true the entry has the model's digest (computed, with a progress bar, when need be). A stored
 * model whose files were changed since it was pulled is refused, whatever `digest` is: when they
 * were touched, the digest is computed. */
int vt_cli_find_model(const char *model, bool digest, vt_store_entry *out);

/* A model's header and tokenizer, without its weights. */
typedef struct {
    vt_store_entry entry;
    vt_gguf *gguf;
    vt_tokenizer *tokenizer;
} vt_cli_header;

int vt_cli_open_header(const char *model, vt_cli_header *out);
void vt_cli_close_header(vt_cli_header *h);

/* A loaded model with one session. Keep the struct where vt_cli_open_model has filled it. */
typedef struct {
    vt_store_entry entry;
    vt_engine *engine;
    vt_session *session;
    vt_session_options session_options; /* to make more like it */
    double load_seconds;
    json_t *explained; /* NULL, or an array that the command has made, to which --explain-cache
                        * adds a vt_prefix_explain_json for each prompt */
} vt_cli_model;

/* What --kv-type says, and how it is written there. */
vt_kv_type vt_cli_kv_type(const vt_args *args);

/* Open the model's packed form where there is one; else, and when that is damaged (a note on stderr
 * says so), the file it was made from. options->path is set to what was opened. */
VT_MUSTUSE vt_status vt_cli_open_engine(vt_engine_options *options, const vt_store_entry *entry,
                                        vt_cli_progress *bar, vt_engine **out, vt_err *err);

/* Load MODEL by the shared options (--threads, --ctx, --kv-type; VETRO_ISA), with a progress bar; a
 * command with `caching` options gets an engine that keeps prefixes.
 * The session's n_ctx and n_chunk are taken from `wanted` (may be NULL) where --ctx is not given.
 * On failure *out is empty. */
int vt_cli_open_model(const vt_args *args, const char *model, const vt_session_options *wanted,
                      vt_cli_model *out);
void vt_cli_close_model(vt_cli_model *m);

/* temperature, top_k, ... as `show --json` and `run --json` print them. */
json_t *vt_cli_sampling_json(const vt_sampling *s);

#endif
