/* help.c -- what a command's table says, for people: --help, the overview, and the manual page. */
#include "cli/cli.h"

#include <stdio.h>
#include <unistd.h>

#include "base/nearest.h"

enum { HELP_COLUMN = 26, SUMMARY_COLUMN = 14 };

/* Print text at column `indent`, broken at spaces so that lines stay under 96 columns. */
static void print_wrapped(FILE *out, const char *text, int indent, int column)
{
    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, " \n");
        if (column > indent && column + 1 + (int)n > 96) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        } else {
            fprintf(out, "%*s", indent - column, "");
            column = indent;
        }
        fwrite(p, 1, n, out);
        column += (int)n;
        p += n;
        if (*p == '\n') {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        }
        if (*p != '\0') p++;
    }
    fputc('\n', out);
}

static int option_head(const vt_option *o, char *text, size_t size)
{
    const char *space = o->argument ? " " : "";
    const char *argument = o->argument ? o->argument : "";
    if (o->letter != 0)
        return snprintf(text, size, "-%c, --%s%s%s", o->letter, o->name, space, argument);
    return snprintf(text, size, "--%s%s%s", o->name, space, argument);
}

static void option_help(const vt_option *o, vt_buffer *b)
{
    vt_buffer_clear(b);
    vt_buffer_printf(b, "%s", o->help);
    if (o->choices != NULL) vt_buffer_printf(b, ": %s", o->choices);
    if (o->kind == VT_OPTION_LIST) vt_buffer_printf(b, "; may be given several times");
    if (o->standard != NULL) vt_buffer_printf(b, " [%s]", o->standard);
}

static void print_options(FILE *out, const vt_option *table, vt_buffer *b)
{
    for (; table != NULL && table->name != NULL; table++) {
        char head[64];
        int n = option_head(table, head, sizeof head);
        option_help(table, b);
        int column = fprintf(out, "  %s", head);
        if (n + 2 >= HELP_COLUMN) {
            fputc('\n', out);
            column = 0;
        }
        print_wrapped(out, b->ptr ? b->ptr : "", HELP_COLUMN, column);
    }
}

static void print_examples(FILE *out, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        fprintf(out, "  %.*s\n", (int)n, text);
        text += n;
        if (*text == '\n') text++;
    }
}

void vt_cli_print_help(const vt_command *c, FILE *out)
{
    vt_buffer b;
    vt_buffer_init(&b, 4096);
    fprintf(out, "vetro %s - %s\n\nusage: vetro %s %s\n", c->name, c->summary, c->name, c->usage);
    if (c->description != NULL) {
        fputc('\n', out);
        print_wrapped(out, c->description, 0, 0);
    }
    fputs("\noptions:\n", out);
    print_options(out, c->options, &b);
    print_options(out, c->shared, &b);
    print_options(out, c->sampling, &b);
    print_options(out, c->caching, &b);
    static const vt_option help[] = {{.name = "help", .letter = 'h', .help = "print this help"},
                                     {0}};
    print_options(out, help, &b);
    fputs("\nexamples:\n", out);
    print_examples(out, c->examples);
    vt_buffer_deinit(&b);
}

void vt_cli_print_overview(FILE *out)
{
    size_t n;
    const vt_command *const *commands = vt_cli_commands(&n);
    fputs("vetro - open-weight language models on your own machine, and answers with checked "
          "citations\n\nusage: vetro COMMAND [OPTION]... [ARGUMENT]...\n\ncommands:\n",
          out);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-*s%s\n", SUMMARY_COLUMN, commands[i]->name, commands[i]->summary);
    fputs(
        "\n'vetro help COMMAND' and 'vetro COMMAND --help' explain a command, with examples.\n"
        "'vetro --version' prints the version.\n\n"
        "environment:\n"
        "  VETRO_HOME     keep all configuration, models and indexes below this directory\n"
        "  VETRO_ISA      the instruction set to use, one that 'vetro doctor' lists (scalar, ...)\n"
        "  VETRO_THREADS  threads to compute with\n\n"
        "exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a rule, 4 verification failed\n",
        out);
}

/* roff takes '\' and a leading '.' or '\'' as its own, and '-' as a hyphen. */
static void print_roff(FILE *out, const char *text)
{
    bool at_start = true;
    for (; *text != '\0'; text++) {
        if (at_start && (*text == '.' || *text == '\'')) fputs("\\&", out);
        if (*text == '\\') fputs("\\e", out);
        else if (*text == '-') fputs("\\-", out);
        else fputc(*text, out);
        at_start = *text == '\n';
    }
}

static void print_roff_options(FILE *out, const vt_option *table, vt_buffer *b)
{
    for (; table != NULL && table->name != NULL; table++) {
        char head[64];
        option_head(table, head, sizeof head);
        option_help(table, b);
        fputs(".TP\n.B ", out);
        print_roff(out, head);
        fputc('\n', out);
        print_roff(out, b->ptr ? b->ptr : "");
        fputc('\n', out);
    }
}

void vt_cli_print_manual(const vt_command *c, FILE *out)
{
    vt_buffer b;
    vt_buffer_init(&b, 4096);
    fprintf(out, ".TH VETRO-%s 1 \"\" \"vetro\" \"User commands\"\n.SH NAME\nvetro-%s \\- ",
            c->name, c->name);
    print_roff(out, c->summary);
    fprintf(out, "\n.SH SYNOPSIS\n.B vetro %s\n", c->name);
    print_roff(out, c->usage);
    if (c->description != NULL) {
        fputs("\n.SH DESCRIPTION\n", out);
        print_roff(out, c->description);
    }
    fputs("\n.SH OPTIONS\n", out);
    print_roff_options(out, c->options, &b);
    print_roff_options(out, c->shared, &b);
    print_roff_options(out, c->sampling, &b);
    print_roff_options(out, c->caching, &b);
    fputs(".SH EXAMPLES\n.nf\n", out);
    print_roff(out, c->examples);
    fputs(".fi\n.SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 3 refused by a rule, "
          "4 verification failed.\n",
          out);
    vt_buffer_deinit(&b);
}
