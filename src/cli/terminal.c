/* terminal.c -- messages, progress and the interrupt key: what the commands share towards the
 * person at the terminal. See cli.h. The interrupt flag is on the list of allowed globals: a signal
 * handler can reach nothing else. */
#include "cli/cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

static int exit_code(vt_status status)
{
    switch (status) {
    case VT_EREFUSED: return VT_EXIT_REFUSED;
    case VT_EVERIFY: return VT_EXIT_UNVERIFIED;
    case VT_ECANCEL: return VT_EXIT_INTERRUPTED;
    default: return VT_EXIT_FAILED;
    }
}

int vt_cli_fail(const vt_err *err, const char *remedy, ...)
{
    fflush(stdout);
    fprintf(stderr, "vetro: %s\n", err->msg[0] ? err->msg : vt_status_text(err->code));
    if (remedy != NULL && err->code != VT_ECANCEL) {
        va_list args;
        va_start(args, remedy);
        fputs("  ", stderr);
        vfprintf(stderr, remedy, args);
        fputc('\n', stderr);
        va_end(args);
    }
    return exit_code(err->code);
}

int vt_cli_usage(const vt_args *args, const char *fmt, ...)
{
    const char *name = vt_args_command(args)->name;
    fflush(stdout);
    fprintf(stderr, "vetro %s: ", name);
    va_list list;
    va_start(list, fmt);
    vfprintf(stderr, fmt, list);
    va_end(list);
    fprintf(stderr, "\n  'vetro %s --help' shows the options, with examples\n", name);
    return VT_EXIT_USAGE;
}

void vt_cli_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void vt_cli_print_safe(FILE *out, vt_slice text, bool is_block)
{
    while (text.len > 0) {
        uint32_t code;
        bool is_valid;
        const size_t n = vt_utf8_decode(text, &code, &is_valid);
        const bool is_space = code == '\n' || code == '\t';
        if (!is_valid || vt_utf8_is_control(code)) fputc('?', out);
        else if (is_space && !is_block) fputc(' ', out);
        else fwrite(text.ptr, 1, n, out);
        text = vt_slice_skip(text, n);
    }
}

int vt_cli_print_json(json_t *value)
{
    static const vt_err no_memory = {.code = VT_ENOMEM, .msg = "out of memory"};
    if (value == NULL) return vt_cli_fail(&no_memory, NULL);
    int failed = json_dumpf(value, stdout, VT_JSON_COMPACT);
    json_decref(value);
    if (failed == 0 && fputc('\n', stdout) != EOF) return VT_EXIT_OK;
    return VT_EXIT_FAILED; /* main says why */
}

const char *vt_cli_size_text(uint64_t n_bytes, char out[VT_CLI_SIZE_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)n_bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < VT_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    int digits = unit == 0 || value >= 100 ? 0 : 1;
    snprintf(out, VT_CLI_SIZE_TEXT, "%.*f %s", digits, value, units[unit]);
    return out;
}

static atomic_bool interrupted, terminated;

static void on_interrupt(int signal_number)
{
    if (signal_number == SIGTERM) atomic_store(&terminated, true);
    if (!atomic_exchange(&interrupted, true)) return;
    /* The second time: whoever pressed it does not want to wait for us. */
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

const atomic_bool *vt_cli_interrupt_flag(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &interrupted;
}

void vt_cli_interrupt_again(void)
{
    atomic_store(&interrupted, false);
    vt_cli_interrupt_flag();
}

void vt_cli_interrupt_off(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

bool vt_cli_interrupted(void)
{
    return atomic_load(&interrupted);
}

bool vt_cli_terminated(void)
{
    return atomic_load(&terminated);
}

static void draw(vt_cli_progress *bar, uint64_t done, uint64_t total, double now)
{
    char line[96];
    char have[VT_CLI_SIZE_TEXT];
    char all[VT_CLI_SIZE_TEXT];
    bool in_bytes = total > 1000000 || (total == 0 && done > 1000000);
    int n;
    if (!in_bytes && total > 0)
        n = snprintf(line, sizeof line, "%.40s %llu/%llu", bar->stage, (unsigned long long)done,
                     (unsigned long long)total);
    else if (!in_bytes)
        n = snprintf(line, sizeof line, "%.40s %llu", bar->stage, (unsigned long long)done);
    else if (total > 0)
        n = snprintf(line, sizeof line, "%.40s %3.0f%% of %s", bar->stage,
                     100.0 * (double)done / (double)total, vt_cli_size_text(total, all));
    else n = snprintf(line, sizeof line, "%.40s %s", bar->stage, vt_cli_size_text(done, have));
    double rate = (double)(done - bar->stage_done) / (now - bar->stage_start + 1e-9);
    if (in_bytes && rate > 0 && n > 0 && (size_t)n < sizeof line) {
        char speed[VT_CLI_SIZE_TEXT];
        n += snprintf(line + n, sizeof line - (size_t)n, ", %s/s",
                      vt_cli_size_text((uint64_t)rate, speed));
        if (total > done && n > 0 && (size_t)n < sizeof line)
            snprintf(line + n, sizeof line - (size_t)n, ", %.0f s left",
                     (double)(total - done) / rate);
    }
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    bar->is_drawn = true;
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    vt_cli_progress *bar = ctx;
    if (!bar->is_terminal) return;
    double now = vt_clock_seconds();
    if (bar->stage == NULL || strcmp(bar->stage, what) != 0 || done < bar->last_done) {
        bar->stage = what;
        bar->stage_start = now;
        bar->stage_done = done; /* a resumed download does not count what it found */
    }
    bar->last_done = done;
    if (now - bar->start < 1.0 || now - bar->last < 0.1) return;
    bar->last = now;
    draw(bar, done, total, now);
}

void vt_cli_progress_begin(vt_cli_progress *bar)
{
    *bar =
        (vt_cli_progress){.start = vt_clock_seconds(), .is_terminal = isatty(STDERR_FILENO) == 1};
    bar->progress.report = on_progress;
    bar->progress.ctx = bar;
    bar->progress.is_cancelled = vt_cli_interrupt_flag();
}

void vt_cli_progress_end(vt_cli_progress *bar)
{
    if (bar->is_drawn) fputs("\r\033[K", stderr);
    bar->is_drawn = false;
    bar->stage = NULL;
}
