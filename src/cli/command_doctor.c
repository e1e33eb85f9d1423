/* command_doctor.c -- `vetro doctor`: what this machine has, what is missing, and what to do about
 * it.
 *
 * A check is a row of the table at the end: a name, whether vetro can do without it, and a function
 * that finds out by trying, not by guessing from versions. Nothing is changed on the machine. The
 * sandbox is proved by trying to get out of it (doctor_sandbox.c). */
#include "cli/cli.h"

#include <errno.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/env.h"
#include "base/file.h"
#include "base/version.h"
#include "cli/doctor.h"
#include "cli/models.h"
#include "kernels/kernels.h"

enum { GIB = 1 << 30 };

static void say(vt_doctor_check *c, bool ok, const char *remedy, const char *fmt, ...)
    VT_PRINTF(4, 5);

static void say(vt_doctor_check *c, bool ok, const char *remedy, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->detail, sizeof c->detail, fmt, args);
    va_end(args);
    c->ok = ok;
    c->remedy = ok ? NULL : remedy;
}

/* How many threads commands start by themselves, and what that follows from. */
static void say_threads(char *out, size_t cap)
{
    vt_cpu_usable u;
    vt_cpu_find_usable(&u);
    const int n_threads = vt_cpu_threads(&u);
    int n = snprintf(out, cap, "%d thread%s: %d of %d CPUs allowed", n_threads,
                     n_threads == 1 ? "" : "s", u.n_allowed, u.n_online);
    if (u.n_cores < u.n_allowed)
        n += snprintf(out + n, cap - (size_t)n, ", on %d core%s", u.n_cores,
                      u.n_cores == 1 ? "" : "s");
    if (u.n_quota > 0)
        snprintf(out + n, cap - (size_t)n, ", the cgroup has time for %d", u.n_quota);
}

static void check_cpu(vt_doctor_check *c)
{
    vt_cpu_features cpu;
    char threads[120];
    vt_cpu_detect(&cpu);
    say_threads(threads, sizeof threads);
    const char *isa = vt_kernels_select(NULL)->name;
    say(c, strcmp(isa, "scalar") != 0,
        "without AVX2 vetro runs, slowly: a newer CPU, or the host's CPU model in the virtual "
        "machine",
        "%s, instruction set %s, %s", cpu.model, isa, threads);
}

static void check_memory(vt_doctor_check *c)
{
    uint64_t available = vt_cpu_memory_available();
    char total_text[VT_CLI_SIZE_TEXT], available_text[VT_CLI_SIZE_TEXT];
    say(c, available >= 2 * (uint64_t)GIB,
        "the default model needs about 1.6 GiB: close programs or take a smaller model",
        "%s, %s available", vt_cli_size_text(vt_cpu_memory_bytes(), total_text),
        vt_cli_size_text(available, available_text));
}

/* Transparent huge pages: weights ask for them by madvise. */
static void check_huge_pages(vt_doctor_check *c)
{
    vt_buffer text;
    vt_buffer_init(&text, 4096);
    bool ok =
        vt_file_read("/sys/kernel/mm/transparent_hugepage/enabled", 4096, &text, NULL) == VT_OK &&
        vt_slice_find(vt_buffer_slice(&text), VT_S("[never]")) == text.len;
    say(c, ok, "allow them: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)",
        ok ? "on request" : "switched off: the weights are read a little slower");
    vt_buffer_deinit(&text);
}

/* The path of the data directory, or of its nearest parent that exists. */
static char *existing_data_dir(vt_err *err)
{
    char *path;
    if (vt_env_dir(VT_DIR_DATA, &path, err) != VT_OK) return NULL;
    for (char *slash;
         access(path, F_OK) != 0 && (slash = strrchr(path, '/')) != NULL && slash != path;)
        *slash = '\0';
    return path;
}

static void check_data_dir(vt_doctor_check *c)
{
    vt_err err;
    struct stat info;
    char *path = existing_data_dir(&err);
    if (path == NULL) say(c, false, "set HOME or VETRO_HOME", "%s", err.msg);
    else if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
        say(c, false, "set VETRO_HOME to a folder of yours", "%.150s is not a folder", path);
    else if (access(path, W_OK) != 0)
        say(c, false, "set VETRO_HOME to a folder of yours", "%.150s can't be written: %s", path,
            strerror(errno));
    else say(c, true, NULL, "%.150s", path);
    vt_free(path);
}

static void check_disk(vt_doctor_check *c)
{
    struct statvfs fs;
    char text[VT_CLI_SIZE_TEXT];
    char *path = existing_data_dir(NULL);
    uint64_t free_bytes = 0;
    if (path != NULL && statvfs(path, &fs) == 0) free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    say(c, free_bytes >= 3 * (uint64_t)GIB, "the default model and its download need about 2.3 GiB",
        "%s free", vt_cli_size_text(free_bytes, text));
    vt_free(path);
}

static void check_models(vt_doctor_check *c)
{
    vt_store *store;
    vt_store_entry *list;
    size_t n, n_damaged = 0;
    uint64_t n_bytes = 0;
    char text[VT_CLI_SIZE_TEXT];
    vt_err err;
    if (vt_cli_open_store(&store) != VT_EXIT_OK) {
        say(c, false, "see 'data directory'", "the store can't be opened");
        return;
    }
    if (vt_store_list(store, &list, &n, &err) != VT_OK) {
        say(c, false, "see 'data directory'", "%s", err.msg);
        vt_store_close(store);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].problem != NULL) n_damaged++;
        n_bytes += list[i].n_bytes;
        vt_store_entry_deinit(&list[i]);
    }
    vt_free(list);
    vt_store_close(store);
    if (n_damaged > 0)
        say(c, false, "'vetro list' names them; remove and pull them again", "%zu of %zu damaged",
            n_damaged, n);
    else
        say(c, n > 0, "vetro pull qwen2.5-coder-1.5b", "%zu, %s", n,
            vt_cli_size_text(n_bytes, text));
}

static void check_landlock(vt_doctor_check *c)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi >= 1) say(c, true, NULL, "ABI %ld", abi);
    else
        say(c, false, "boot a kernel with Landlock (5.13 or newer, lsm=landlock,...)",
            "not in this kernel");
}

static void check_seccomp(vt_doctor_check *c)
{
    /* With no filter to read the kernel says EFAULT when it knows filters, EINVAL when it does not.
     */
    bool ok = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) != 0 && errno == EFAULT;
    say(c, ok, "boot a kernel with CONFIG_SECCOMP_FILTER",
        ok ? "filters work" : "not in this kernel");
}

static void check_user_namespaces(vt_doctor_check *c)
{
    pid_t child = fork();
    if (child == 0) _exit(unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
    int status = -1;
    bool ok = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    say(c, ok, "sysctl kernel.unprivileged_userns_clone=1, or a container that allows them",
        ok ? "can be made" : "forbidden here: the sandbox falls back to Landlock");
}

static void check_program(vt_doctor_check *c, const char *path, const char *purpose,
                          const char *remedy)
{
    bool ok = access(path, X_OK) == 0;
    say(c, ok, remedy, ok ? "%s" : "%s is not installed: %s", path, purpose);
}

static void check_bubblewrap(vt_doctor_check *c)
{
    check_program(c, "/usr/bin/bwrap", "it confines the readers of PDF files",
                  "apt-get install bubblewrap");
}

static void check_poppler(vt_doctor_check *c)
{
    check_program(c, "/usr/bin/pdftotext", "PDF files can't be read",
                  "apt-get install poppler-utils poppler-data");
}

static void check_tesseract(vt_doctor_check *c)
{
    check_program(c, "/usr/bin/tesseract", "scanned pages can't be read",
                  "apt-get install tesseract-ocr");
}

static void check_fonts(vt_doctor_check *c)
{
    bool ok = access("/usr/share/fonts/truetype", X_OK) == 0 ||
              access("/usr/share/fonts/opentype", X_OK) == 0;
    say(c, ok, "apt-get install fonts-dejavu-core",
        ok ? "/usr/share/fonts" : "none: rendered pages and pictures would lack letters");
}

/* Those that are needed make doctor fail; the others only cost a feature or speed. */
static const struct {
    const char *name;
    bool is_needed;
    void (*run)(vt_doctor_check *check);
} checks[] = {
    {"cpu", false, check_cpu},
    {"arithmetic", true, vt_doctor_arithmetic},
    {"memory", false, check_memory},
    {"huge pages", false, check_huge_pages},
    {"data directory", true, check_data_dir},
    {"disk", false, check_disk},
    {"models", false, check_models},
    {"landlock", false, check_landlock},
    {"seccomp", false, check_seccomp},
    {"user namespaces", false, check_user_namespaces},
    {"bubblewrap", false, check_bubblewrap},
    {"sandbox", false, vt_doctor_sandbox},
    {"poppler", false, check_poppler},
    {"tesseract", false, check_tesseract},
    {"fonts", false, check_fonts},
};

static void print_text(const vt_doctor_check *results)
{
    printf("vetro %s (%s)\n", vt_version(), vt_commit());
    for (size_t i = 0; i < VT_COUNT(checks); i++) {
        const vt_doctor_check *c = &results[i];
        printf("%-5s %-16s %s\n",
               c->ok                 ? "ok"
               : checks[i].is_needed ? "FAIL"
                                     : "-",
               checks[i].name, c->detail);
        if (c->remedy != NULL) printf("%-22s -> %s\n", "", c->remedy);
    }
}

static json_t *to_json(const vt_doctor_check *results)
{
    json_t *list = json_array();
    for (size_t i = 0; i < VT_COUNT(checks); i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:b, s:o, s:s?}", "name", checks[i].name, "ok",
                                        results[i].ok, "needed", checks[i].is_needed, "detail",
                                        vt_json_string(vt_slice_cstr(results[i].detail)), "remedy",
                                        results[i].remedy));
    return json_pack("{s:s, s:s, s:o}", "version", vt_version(), "commit", vt_commit(), "checks",
                     list);
}

static int run_doctor(const vt_args *args)
{
    static const vt_doctor_check nothing;
    vt_doctor_check results[VT_COUNT(checks)];
    bool is_fit = true;
    for (size_t i = 0; i < VT_COUNT(checks); i++) {
        results[i] = nothing;
        checks[i].run(&results[i]);
        if (checks[i].is_needed && !results[i].ok) is_fit = false;
    }
    if (vt_args_flag(args, "json")) {
        int code = vt_cli_print_json(to_json(results));
        return code != VT_EXIT_OK || is_fit ? code : VT_EXIT_FAILED;
    }
    print_text(results);
    return is_fit ? VT_EXIT_OK : VT_EXIT_FAILED;
}

static const vt_option options[] = {
    {.name = "json", .help = "print one JSON object"},
    {0},
};

const vt_command vt_command_doctor = {
    .name = "doctor",
    .summary = "what this machine has, what is missing, and a self-test",
    .usage = "[--json]",
    .description = "Tries what vetro needs and says what to do about what is not there. A line "
                   "with '-' costs a "
                   "feature or speed; FAIL means that vetro can't work, and makes the exit code 1.",
    .examples = "vetro doctor\n"
                "vetro doctor --json\n",
    .options = options,
    .run = run_doctor,
};
