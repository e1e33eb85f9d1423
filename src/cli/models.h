/* models.h -- how commands get at models: the store of this user, MODEL arguments, engines.
 * Failures are printed here; a command returns the exit code it is given. */
#ifndef VT_CLI_MODELS_H
#define VT_CLI_MODELS_H

#include "cli/cli.h"
#include "model/store.h"

/* The store below the data directory. */
int vt_cli_open_store(vt_store **out);

/* MODEL (a name or a path) to an entry of `store`; the message of a miss says what to do. */
int vt_cli_resolve_model(vt_store *store, const char *model, vt_store_entry *out);

/* The same in one call, without a store in hand. Free with vt_store_entry_deinit. When `digest` is
 * true the entry has the model's digest (computed, with a progress bar, when need be). */
int vt_cli_find_model(const char *model, bool digest, vt_store_entry *out);

/* temperature, top_k, ... as `show --json` and `run --json` print them. */
json_t *vt_cli_sampling_json(const vt_sampling *s);

#endif
