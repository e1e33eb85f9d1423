/* prefixes.h -- how commands use the prefix store (engine/prefix.h): its options, its directory,
 * and --explain-cache. Failures are printed here; a command returns the exit code it is given. */
#ifndef VT_CLI_PREFIXES_H
#define VT_CLI_PREFIXES_H

#include "cli/models.h"
#include "engine/prefix.h"
#include "engine/prefix_files.h"

/* --kv-store, --kv-store-size, --explain-cache: `caching` of commands that generate. */
extern const vt_option vt_cli_caching_options[];

/* "4G", "500 MiB", "1.5g", "1024": bytes, in powers of 1024. False when it is none. */
bool vt_cli_parse_size(const char *text, uint64_t *out);

/* Are the options of `caching` well-formed? To be asked before a model is loaded. */
int vt_cli_check_prefixes(const vt_args *args);

/* Let the model's engine keep prefixes, as the options say. A disk that can't be written is a note,
 * not a failure. With --explain-cache `m` must stay where it is: m->explained, when the
 * caller has made it an array, grows by each prompt. */
int vt_cli_keep_prefixes(const vt_args *args, vt_cli_model *m);

/* Remove what is stored for the model with this digest, because it may have been computed with
 * weights that are not the model's; says how much on standard error. */
void vt_cli_forget_prefixes(const uint8_t digest[VT_SHA256_BYTES]);

/* With --explain-cache, after the last prompt: wait for what is being written, as closing the model
 * does too, and say why not all of it could be; into the last of m->explained as well. */
void vt_cli_explain_writing(const vt_args *args, const vt_cli_model *m);

/* DATA/kv; free with vt_free. */
int vt_cli_prefix_dir(char **out);

/* What --kv-store-size is when it is not given. */
uint64_t vt_cli_prefix_standard_size(void);

#endif
