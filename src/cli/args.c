/* args.c -- reads a command's arguments by its table of options. See cli.h.
 *
 * The usual grammar: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, options and operands in any
 * order, "--" ends the options, "-" is an operand. Long names are never abbreviated: an
 * abbreviation in a script breaks when an option is added. Own code because getopt_long keeps
 * global state, prints by itself and cannot say which option was meant.
 *
 * Every value is checked here, before a command runs: a command never sees a number out of range.
 */
#include "cli/cli.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/env.h"
#include "base/nearest.h"
#include "base/parse.h"
#include "base/pool.h"

enum { MAX_OPTIONS = 64 };

typedef struct {
    const vt_option *option;
    const char *text; /* of the last time it was given; NULL: not given */
} given;

struct vt_args {
    const vt_command *command;
    given options[MAX_OPTIONS];
    size_t n_options;
    const char **operands;
    size_t n_operands;
    const vt_option **list_options; /* list values in the order given */
    const char **list_values;
    size_t n_list;
};

const vt_option vt_cli_model_options[] = {
    {.name = "threads",
     .letter = 't',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = VT_POOL_MAX_THREADS,
     .standard = "0",
     .help = "threads to compute with (0: VETRO_THREADS, else all CPUs it may use)"},
    {.name = "ctx",
     .letter = 'c',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = 1 << 24,
     .standard = "0",
     .help = "most tokens held at once (0: the model's context, at most 8192)"},
    VT_CLI_KV_TYPE_OPTION,
    {0},
};

const vt_option vt_cli_sampling_options[] = {
    {.name = "max-tokens",
     .letter = 'n',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = 1 << 24,
     .standard = "0",
     .help = "most tokens of the answer (0: as many as the context holds)"},
    {.name = "temperature",
     .argument = "X",
     .kind = VT_OPTION_REAL,
     .max = 100,
     .help = "0 takes the likeliest token; larger is more varied"},
    {.name = "top-k",
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = 1 << 24,
     .help = "sample from the N likeliest tokens (0: all)"},
    {.name = "top-p",
     .argument = "X",
     .kind = VT_OPTION_REAL,
     .max = 1,
     .help = "sample from the likeliest tokens that together have probability X (1: all)"},
    {.name = "min-p",
     .argument = "X",
     .kind = VT_OPTION_REAL,
     .max = 1,
     .help = "leave out tokens with less than X times the probability of the likeliest"},
    {.name = "repetition-penalty",
     .argument = "X",
     .kind = VT_OPTION_REAL,
     .max = 100,
     .help = "divide the logits of tokens that occurred (1: off)"},
    {.name = "frequency-penalty",
     .argument = "X",
     .kind = VT_OPTION_REAL,
     .min = -100,
     .max = 100,
     .help = "subtract X from a token's logit for each time the answer used it"},
    {.name = "presence-penalty",
     .argument = "X",
     .kind = VT_OPTION_REAL,
     .min = -100,
     .max = 100,
     .help = "subtract X from the logits of tokens that the answer used"},
    {.name = "logit-bias",
     .argument = "ID=X",
     .kind = VT_OPTION_LIST,
     .help = "add X to the logit of token ID"},
    {.name = "seed",
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = 9e18,
     .help = "same seed, same answer (else a new one each time)"},
    {.name = "stop",
     .argument = "TEXT",
     .kind = VT_OPTION_LIST,
     .help = "end the answer before TEXT"},
    {.name = "speculate",
     .argument = "WHEN",
     .kind = VT_OPTION_CHOICE,
     .choices = "auto|off",
     .standard = "auto",
     .help = "compute tokens that can be guessed together; same answer, only faster"},
    {0},
};

/* Options that every command has; they never reach the command. */
static const vt_option common_options[] = {
    {.name = "help", .letter = 'h', .help = "print this help"},
    {0},
};

static void add_table(vt_args *args, const vt_option *table)
{
    for (; table != NULL && table->name != NULL; table++) {
        VT_CHECK(args->n_options < MAX_OPTIONS);
        args->options[args->n_options++].option = table;
    }
}

static given *find_long(vt_args *args, vt_slice name)
{
    for (size_t i = 0; i < args->n_options; i++)
        if (vt_slice_eq(vt_slice_cstr(args->options[i].option->name), name))
            return &args->options[i];
    return NULL;
}

static given *find_letter(vt_args *args, char letter)
{
    for (size_t i = 0; i < args->n_options; i++)
        if (args->options[i].option->letter == letter) return &args->options[i];
    return NULL;
}

static int unknown_option(vt_args *args, const char *text, vt_slice name)
{
    size_t best = SIZE_MAX;
    const char *near = NULL;
    for (size_t i = 0; i < args->n_options; i++) {
        vt_slice candidate = vt_slice_cstr(args->options[i].option->name);
        size_t distance = vt_nearness(name, candidate);
        if (distance >= best) continue;
        best = distance;
        near = args->options[i].option->name;
    }
    if (near == NULL) return vt_cli_usage(args, "unknown option '%.80s'", text);
    return vt_cli_usage(args, "unknown option '%.80s'; did you mean --%s?", text, near);
}

static bool is_choice(const char *choices, vt_slice text)
{
    vt_slice rest = vt_slice_cstr(choices);
    while (rest.len > 0) {
        size_t end = vt_slice_find(rest, VT_S("|"));
        if (vt_slice_eq(vt_slice_take(rest, end), text)) return true;
        rest = vt_slice_skip(rest, end + 1);
    }
    return false;
}

static bool has_range(const vt_option *o)
{
    return o->min < 0 || o->min > 0 || o->max < 0 || o->max > 0;
}

static int check_value(const vt_args *args, const vt_option *o, const char *text)
{
    double real = 0;
    int64_t whole = 0;
    vt_slice s = vt_slice_cstr(text);
    if (o->kind == VT_OPTION_CHOICE && !is_choice(o->choices, s))
        return vt_cli_usage(args, "--%s: '%.80s' is not one of %s", o->name, text, o->choices);
    if (o->kind == VT_OPTION_INT) {
        if (!vt_parse_i64(s, &whole))
            return vt_cli_usage(args, "--%s: '%.80s' is not a whole number", o->name, text);
        real = (double)whole;
    } else if (o->kind == VT_OPTION_REAL) {
        if (!vt_parse_double(s, &real))
            return vt_cli_usage(args, "--%s: '%.80s' is not a number", o->name, text);
    } else {
        return VT_EXIT_OK;
    }
    if (has_range(o) && (real < o->min || real > o->max))
        return vt_cli_usage(args, "--%s: %.80s is out of range (%.15g to %.15g)", o->name, text,
                            o->min, o->max);
    return VT_EXIT_OK;
}

static int store_value(vt_args *args, given *g, const char *text)
{
    int code = check_value(args, g->option, text);
    if (code != VT_EXIT_OK) return code;
    g->text = text;
    if (g->option->kind == VT_OPTION_LIST) {
        args->list_options[args->n_list] = g->option;
        args->list_values[args->n_list++] = text;
    }
    return VT_EXIT_OK;
}

/* One option at argv[*i]; moves *i to the last argument it used. */
static int parse_option(vt_args *args, int argc, char *const *argv, int *i)
{
    const char *text = argv[*i];
    const char *value = NULL;
    given *g;
    if (text[1] == '-') {
        vt_slice name = vt_slice_cstr(text + 2);
        size_t equals = vt_slice_find(name, VT_S("="));
        if (equals < name.len) value = text + 2 + equals + 1;
        name = vt_slice_take(name, equals);
        g = find_long(args, name);
        if (g == NULL) return unknown_option(args, text, name);
        if (g->option->kind == VT_OPTION_FLAG && value != NULL)
            return vt_cli_usage(args, "--%s takes no value", g->option->name);
    } else {
        g = find_letter(args, text[1]);
        if (g == NULL || (g->option->kind == VT_OPTION_FLAG && text[2] != '\0'))
            return unknown_option(args, text, vt_slice_cstr(text + 1));
        if (text[2] != '\0') value = text + 2;
    }
    if (g->option->kind == VT_OPTION_FLAG) {
        g->text = "";
        return VT_EXIT_OK;
    }
    if (value == NULL) {
        if (*i + 1 >= argc)
            return vt_cli_usage(args, "--%s needs a value: %s", g->option->name,
                                g->option->argument);
        value = argv[++*i];
    }
    return store_value(args, g, value);
}

static int check_operands(const vt_args *args)
{
    const vt_command *c = args->command;
    if (args->n_operands < (size_t)c->min_operands)
        return vt_cli_usage(args, "too few arguments: vetro %s %s", c->name, c->usage);
    if (c->max_operands >= 0 && args->n_operands > (size_t)c->max_operands)
        return vt_cli_usage(args, "unexpected argument '%.80s': vetro %s %s",
                            args->operands[c->max_operands], c->name, c->usage);
    return VT_EXIT_OK;
}

static bool wants_help(const vt_args *args)
{
    for (size_t i = 0; i < args->n_options; i++)
        if (args->options[i].option == &common_options[0]) return args->options[i].text != NULL;
    return false;
}

int vt_args_parse(const vt_command *command, int argc, char *const *argv, vt_args **out)
{
    *out = NULL;
    vt_args *args = vt_calloc(1, sizeof *args);
    size_t room = (size_t)argc + 1;
    if (args != NULL) {
        args->operands = vt_calloc(room, sizeof *args->operands);
        args->list_options = vt_calloc(room, sizeof *args->list_options);
        args->list_values = vt_calloc(room, sizeof *args->list_values);
    }
    if (args == NULL || !args->operands || !args->list_options || !args->list_values) {
        vt_args_free(args);
        return vt_cli_fail(&(vt_err){.code = VT_ENOMEM, .msg = "out of memory"}, NULL);
    }
    args->command = command;
    add_table(args, command->options);
    add_table(args, command->shared);
    add_table(args, command->sampling);
    add_table(args, command->caching);
    add_table(args, common_options);
    int code = VT_EXIT_OK;
    bool only_operands = false;
    for (int i = 0; i < argc && code == VT_EXIT_OK; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) only_operands = true;
        else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0')
            code = parse_option(args, argc, argv, &i);
        else args->operands[args->n_operands++] = argv[i];
    }
    if (code == VT_EXIT_OK && wants_help(args)) {
        vt_cli_print_help(command, stdout);
        vt_args_free(args);
        return VT_EXIT_OK;
    }
    if (code == VT_EXIT_OK) code = check_operands(args);
    if (code == VT_EXIT_OK) *out = args;
    else vt_args_free(args);
    return code;
}

void vt_args_free(vt_args *args)
{
    if (args == NULL) return;
    vt_free(args->operands);
    vt_free(args->list_options);
    vt_free(args->list_values);
    vt_free(args);
}

static const given *lookup(const vt_args *args, const char *name)
{
    for (size_t i = 0; i < args->n_options; i++)
        if (strcmp(args->options[i].option->name, name) == 0) return &args->options[i];
    VT_CHECK(!"an option that is in no table was asked for");
    return NULL;
}

static const char *value_text(const given *g)
{
    return g->text != NULL ? g->text : g->option->standard;
}

bool vt_args_has(const vt_args *args, const char *name)
{
    return lookup(args, name)->text != NULL;
}

bool vt_args_flag(const vt_args *args, const char *name)
{
    return vt_args_has(args, name);
}

int64_t vt_args_int(const vt_args *args, const char *name)
{
    int64_t value = 0;
    const char *text = value_text(lookup(args, name));
    if (text != NULL) VT_CHECK(vt_parse_i64(vt_slice_cstr(text), &value));
    return value;
}

double vt_args_real(const vt_args *args, const char *name)
{
    double value = 0;
    const char *text = value_text(lookup(args, name));
    if (text != NULL) VT_CHECK(vt_parse_double(vt_slice_cstr(text), &value));
    return value;
}

const char *vt_args_text(const vt_args *args, const char *name)
{
    return value_text(lookup(args, name));
}

size_t vt_args_n_list(const vt_args *args, const char *name)
{
    const vt_option *o = lookup(args, name)->option;
    size_t n = 0;
    for (size_t i = 0; i < args->n_list; i++) n += args->list_options[i] == o;
    return n;
}

const char *vt_args_list(const vt_args *args, const char *name, size_t i)
{
    const vt_option *o = lookup(args, name)->option;
    for (size_t k = 0; k < args->n_list; k++)
        if (args->list_options[k] == o && i-- == 0) return args->list_values[k];
    return NULL;
}

size_t vt_args_n_operands(const vt_args *args)
{
    return args->n_operands;
}

const char *vt_args_operand(const vt_args *args, size_t i)
{
    return i < args->n_operands ? args->operands[i] : NULL;
}

const vt_command *vt_args_command(const vt_args *args)
{
    return args->command;
}

bool vt_cli_standard_threads(int *out)
{
    int64_t n = vt_cpu_count();
    const char *text = vt_env_threads();
    if (text != NULL && text[0] != '\0' &&
        (!vt_parse_i64(vt_slice_cstr(text), &n) || n < 1 || n > VT_POOL_MAX_THREADS)) {
        vt_cli_note("vetro: VETRO_THREADS is '%.40s', not a number from 1 to %d", text,
                    VT_POOL_MAX_THREADS);
        return false;
    }
    *out = n > VT_POOL_MAX_THREADS ? VT_POOL_MAX_THREADS : (int)n;
    return true;
}

bool vt_args_threads(const vt_args *args, int *out)
{
    int n = (int)vt_args_int(args, "threads");
    if (n == 0) return vt_cli_standard_threads(out);
    *out = n;
    return true;
}
