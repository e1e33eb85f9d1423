/* turn.h -- one turn of a model in the terminal: what `run` and `chat` share. Renders, generates,
 * parses, and gives text to whoever shows it, whole characters only and without stop strings.
 *
 * Ownership  everything is borrowed for the call.
 * Threads    the main thread. */
#ifndef VT_CLI_TURN_H
#define VT_CLI_TURN_H

#include "chat/format.h"
#include "cli/models.h"
#include "engine/generate.h"
#include "engine/stop.h"

/* What --temperature, ..., --stop, --speculate and the model's publisher say. */
enum { VT_CLI_MAX_BIAS = 256 };

typedef struct {
    vt_sampling sampling;
    uint64_t seed;
    vt_logit_bias bias[VT_CLI_MAX_BIAS];
    size_t n_bias;
    vt_slice stops[VT_STOP_MAX];
    size_t n_stops;
    uint32_t n_max;
    vt_speculate speculate;
} vt_cli_sampling;

/* --speculate */
vt_speculate vt_cli_speculate(const vt_args *args);

/* What needs no model of the shared options, checked before one is loaded: all but `sampling`.
 * Without --seed a random one. */
int vt_cli_read_sampling(const vt_args *args, vt_cli_sampling *out);
/* `sampling`: the options over the publisher's values. */
void vt_cli_complete_sampling(const vt_args *args, const vt_store_entry *entry, const vt_gguf *g,
                              vt_cli_sampling *out);
/* --format, as far as it can be checked without a model. */
int vt_cli_check_format(const vt_args *args);

typedef struct {
    vt_cli_model *model;
    const vt_cli_sampling *sampling;
    const vt_chat_format *format;  /* NULL: raw, `tokens` is the whole prompt */
    vt_conversation *conversation; /* with format: the model's items are added to it */
    const vt_tokens *tokens;
    const json_t *schema; /* that the answer must fit, or NULL */
    uint32_t n_logprobs;
    json_t *logprobs; /* array to add to, or NULL */
    void (*on_text)(void *ctx, vt_slice text);
    void (*on_reasoning)(void *ctx, vt_slice text); /* may be NULL */
    void *ctx;
} vt_cli_turn;

/* VT_OK also when it was interrupted: result->end says so. */
VT_MUSTUSE vt_status vt_cli_turn_run(const vt_cli_turn *turn, vt_generate_result *result,
                                     vt_err *err);

/* On stderr, when the answer was cut by a full context: nothing is ever cut silently. */
void vt_cli_note_cut(const vt_cli_model *m, const vt_generate_result *r);

#endif
