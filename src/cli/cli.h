/* cli.h -- the frame that every command of the program stands in: its table of options, its help,
 * its errors and exit codes, progress, and the interrupt key.
 *
 * A command is one file, command_NAME.c, that exports one `const vt_command vt_command_NAME` and
 * has one line in commands.h. Options are a table; the parser, `--help` and the manual page are
 * made from it, so they cannot disagree:
 *
 *     static const vt_option options[] = {
 *         {.name = "top-k", .argument = "N", .kind = VT_OPTION_INT, .max = 1e6, .standard = "40",
 *          .help = "sample from the N likeliest tokens (0: all)"},
 *         {0}};
 *
 * Values are asked for by long name. A value that was not given is the table's `standard`, read by
 * the same parser; asking for a name that is in no table is a bug and aborts.
 *
 * Output: results on stdout, everything else on stderr. A command returns an exit code; main adds
 * the check that stdout could really be written.
 *
 * Threads  everything here belongs to the main thread, except vt_cli_interrupt_flag's flag. */
#ifndef VT_CLI_CLI_H
#define VT_CLI_CLI_H

#include "base/buffer.h"
#include "base/json.h"
#include "base/progress.h"

/* The exit codes of the contract. */
enum {
    VT_EXIT_OK = 0,
    VT_EXIT_FAILED = 1,
    VT_EXIT_USAGE = 2,
    VT_EXIT_REFUSED = 3,
    VT_EXIT_UNVERIFIED = 4,
    /* Ended by Ctrl-C after cleaning up: main then ends by SIGINT, as shells expect (they show 130;
     * 143 after SIGTERM). */
    VT_EXIT_INTERRUPTED = 130,
};

typedef enum {
    VT_OPTION_FLAG, /* no argument */
    VT_OPTION_TEXT,
    VT_OPTION_INT,
    VT_OPTION_REAL,
    VT_OPTION_CHOICE, /* one of `choices` */
    VT_OPTION_LIST,   /* text, may be given several times */
} vt_option_kind;

typedef struct {
    const char *name;     /* long, without dashes; NULL ends the table */
    char letter;          /* 0: none */
    const char *argument; /* what the help calls it: "N", "FILE" */
    vt_option_kind kind;
    double min, max;      /* INT and REAL; both 0: any value */
    const char *choices;  /* "f16|f32" */
    const char *standard; /* the value when it is not given; NULL: 0 or NULL */
    const char *help;     /* one or two lines, lower case */
} vt_option;

typedef struct vt_args vt_args;

typedef struct {
    const char *name;
    const char *summary;     /* one line for the list of commands */
    const char *usage;       /* after "vetro NAME": "[OPTION]... MODEL [PROMPT]" */
    const char *description; /* a paragraph or two; may be NULL */
    const char *examples;    /* lines "vetro run ...\n"; every command has some */
    const vt_option *options;
    const vt_option *shared;   /* vt_cli_model_options, or NULL */
    const vt_option *sampling; /* vt_cli_sampling_options, or NULL */
    const vt_option *caching;  /* vt_cli_caching_options (prefixes.h), or NULL */
    int min_operands;
    int max_operands; /* -1: any number */
    int (*run)(const vt_args *args);
} vt_command;

/* --kv-type, for tables that are not vt_cli_model_options. */
#define VT_CLI_KV_TYPE_OPTION   \
    {.name = "kv-type",         \
     .argument = "TYPE",        \
     .kind = VT_OPTION_CHOICE,  \
     .choices = "f16|q8_0|f32", \
     .standard = "f16",         \
     .help = "number format of the KV cache"}
/* --threads, --ctx, --kv-type: for every command that loads a model. */
extern const vt_option vt_cli_model_options[];
/* -n, --temperature, --top-p, ... --seed, --stop: for those that generate. None has a standard
 * value here: what is not given is as the model's publisher says. */
extern const vt_option vt_cli_sampling_options[];

const vt_command *const *vt_cli_commands(size_t *n);

/* ---- arguments ---- */

/* Parse argv[0..argc) (what follows the command's name). On wrong usage or --help everything has
 * been printed, *out is NULL and the return value is the exit code. */
int vt_args_parse(const vt_command *command, int argc, char *const *argv, vt_args **out);
void vt_args_free(vt_args *args);

bool vt_args_has(const vt_args *args, const char *name); /* was it given? */
bool vt_args_flag(const vt_args *args, const char *name);
int64_t vt_args_int(const vt_args *args, const char *name);
double vt_args_real(const vt_args *args, const char *name);
const char *vt_args_text(const vt_args *args, const char *name); /* TEXT, CHOICE; may be NULL */
size_t vt_args_n_list(const vt_args *args, const char *name);
const char *vt_args_list(const vt_args *args, const char *name, size_t i);

size_t vt_args_n_operands(const vt_args *args);
const char *vt_args_operand(const vt_args *args, size_t i); /* NULL past the end */
const vt_command *vt_args_command(const vt_args *args);

/* --threads, else VETRO_THREADS, else the CPUs this process may use. False (with a message) when
 * VETRO_THREADS is no number from 1 to 256. */
bool vt_args_threads(const vt_args *args, int *out);
/* The same without the option. */
bool vt_cli_standard_threads(int *out);

void vt_cli_print_help(const vt_command *command, FILE *out);
void vt_cli_print_manual(const vt_command *command, FILE *out); /* roff, for man(1) */
void vt_cli_print_overview(FILE *out);

/* ---- messages ---- */

/* "vetro: MESSAGE" and, when `remedy` is not NULL, what to do on a line of its own. Returns the
 * exit code that belongs to err->code. */
int vt_cli_fail(const vt_err *err, const char *remedy, ...) VT_PRINTF(2, 3);
/* "vetro NAME: MESSAGE" and a pointer to --help. Returns VT_EXIT_USAGE. */
int vt_cli_usage(const vt_args *args, const char *fmt, ...) VT_PRINTF(2, 3);
void vt_cli_note(const char *fmt, ...) VT_PRINTF(1, 2); /* a line on stderr */

/* A slice of text that may hold control characters (names, documents and what a model writes may),
 * for a terminal: they are shown as '?'. Line ends and tabs stay when `is_block`. */
void vt_cli_print_safe(FILE *out, vt_slice text, bool is_block);

/* One JSON object and a newline on stdout; steals the reference. Returns an exit code. A NULL value
 * (memory ran out while it was built) is an error. */
int vt_cli_print_json(json_t *value);

/* 1536 -> "1.5 KiB"; out holds at least 16 bytes. */
enum { VT_CLI_SIZE_TEXT = 24 };
const char *vt_cli_size_text(uint64_t n_bytes, char out[VT_CLI_SIZE_TEXT]);

/* ---- progress and interrupts ---- */

/* From now on the first Ctrl-C (SIGINT, SIGTERM) only sets the flag, the second ends the program.
 * `again` makes the next Ctrl-C a first one; `off` lets it end the program at once, as it does when
 * nothing was called. */
const atomic_bool *vt_cli_interrupt_flag(void);
void vt_cli_interrupt_again(void);
void vt_cli_interrupt_off(void);
bool vt_cli_interrupted(void);
/* Was it SIGTERM? Then the whole program is meant, not the answer that is being written. */
bool vt_cli_terminated(void);

/* A bar on stderr: only on a terminal, only for work that has taken a second. Its vt_progress also
 * carries the interrupt flag. Erase it with _end before printing anything else. */
typedef struct {
    vt_progress progress; /* hand out &bar.progress; keep the struct where it is */
    double start;
    double last;
    double stage_start;
    uint64_t stage_done;
    uint64_t last_done;
    const char *stage;
    bool is_terminal;
    bool is_drawn;
} vt_cli_progress;

void vt_cli_progress_begin(vt_cli_progress *bar);
void vt_cli_progress_end(vt_cli_progress *bar);

#endif
