/* sandbox.c -- see sandbox.h: which confinement there is, and the plan of a child for each. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"
#include "sandbox/run.h"

enum { MAX_ARGS = 256, MAX_TEXT = 32, SHELL_SIGNAL = 128 };

static const char prlimit_path[] = "/usr/bin/prlimit";

struct vt_sandbox {
    vt_sandbox_kind kind;
    bool drops_root;
    char *bwrap_path;
    vt_buffer filter_single; /* for bwrap: one process */
    vt_buffer filter_forking;
    vt_buffer filter_alone; /* without namespaces around it */
    char description[640];
};

static char *const environment[] = {
    (char *)(uintptr_t)"PATH=/usr/bin:/bin", (char *)(uintptr_t)"LANG=C.UTF-8",
    (char *)(uintptr_t)"HOME=/tmp",          (char *)(uintptr_t)"TMPDIR=/tmp",
    (char *)(uintptr_t)"OMP_THREAD_LIMIT=1", NULL,
};

/* Arguments of bwrap: pointers, and room for the numbers among them. */
typedef struct {
    const char *items[MAX_ARGS + 1];
    size_t n;
    char texts[8][MAX_TEXT];
    size_t n_texts;
    char links[8][2 * MAX_TEXT];
    bool is_full;
} arguments;

static void arg(arguments *a, const char *text)
{
    if (a->n >= MAX_ARGS) a->is_full = true;
    else a->items[a->n++] = text;
}

static void args(arguments *a, size_t n, const char *const *texts)
{
    for (size_t i = 0; i < n; i++) arg(a, texts[i]);
}

static void arg_number(arguments *a, const char *prefix, uint64_t value)
{
    char *text = a->texts[a->n_texts++ % VT_COUNT(a->texts)];
    snprintf(text, MAX_TEXT, "%s%llu", prefix, (unsigned long long)value);
    arg(a, text);
}

/* /bin, /lib...: links into /usr on a merged system, directories on an older one. */
static void arg_system_folders(arguments *a)
{
    static const char *const folders[] = {"/bin", "/sbin", "/lib", "/lib64", "/lib32"};
    for (size_t i = 0; i < VT_COUNT(folders); i++) {
        char *target = a->links[i];
        ssize_t n = readlink(folders[i], target, sizeof a->links[i] - 1);
        if (n > 0) {
            target[n] = '\0';
            const char *const link[] = {"--symlink", target, folders[i]};
            args(a, VT_COUNT(link), link);
        } else if (access(folders[i], F_OK) == 0) {
            const char *const bind[] = {"--ro-bind", folders[i], folders[i]};
            args(a, VT_COUNT(bind), bind);
        }
    }
}

static void bwrap_arguments(const vt_sandbox *sb, const vt_sandbox_job *job,
                            const vt_sandbox_limits *limits, arguments *a)
{
    static const char *const fixed[] = {
        "--unshare-all",
        "--unshare-user",
        "--uid",
        "1000",
        "--gid",
        "1000",
        "--cap-drop",
        "ALL",
        "--disable-userns",
        "--new-session",
        "--die-with-parent",
        "--clearenv",
        "--setenv",
        "PATH",
        "/usr/bin:/bin",
        "--setenv",
        "LANG",
        "C.UTF-8",
        "--setenv",
        "HOME",
        "/tmp",
        "--setenv",
        "TMPDIR",
        "/tmp",
        "--setenv",
        "OMP_THREAD_LIMIT",
        "1",
        "--hostname",
        "sandbox",
        "--ro-bind",
        "/usr",
        "/usr",
        "--ro-bind-try",
        "/etc/ld.so.cache",
        "/etc/ld.so.cache",
        "--ro-bind-try",
        "/etc/alternatives",
        "/etc/alternatives",
        "--dev",
        "/dev",
        "--remount-ro",
        "/dev",
        "--size",
    };
    arg(a, sb->bwrap_path);
    args(a, VT_COUNT(fixed), fixed);
    arg_number(a, "", limits->file_bytes);
    arg(a, "--tmpfs");
    arg(a, "/tmp");
    arg_system_folders(a);
    if (job->work_dir != NULL) {
        const char *const bind[] = {"--bind", job->work_dir, "/job", "--chdir", "/job"};
        args(a, VT_COUNT(bind), bind);
    } else {
        const char *const tmp[] = {"--chdir", "/tmp"};
        args(a, VT_COUNT(tmp), tmp);
    }
    const char *const last[] = {"--remount-ro", "/", "--seccomp", "3", "--"};
    args(a, VT_COUNT(last), last);
    if (limits->n_processes > 1) {
        /* Counted in the sandbox's own user namespace, so it must be set in there; set outside, it
         * would count all processes of the user. */
        arg(a, prlimit_path);
        arg_number(a, "--nproc=", limits->n_processes);
        arg(a, "--");
    }
    for (const char *const *p = job->argv; *p != NULL; p++) arg(a, *p);
    if (a->n <= MAX_ARGS) a->items[a->n] = NULL;
}

static vt_sandbox_limits with_defaults(const vt_sandbox_limits *given)
{
    vt_sandbox_limits l = *given;
    if (l.memory_bytes == 0) l.memory_bytes = 1ull << 30;
    if (l.file_bytes == 0) l.file_bytes = 64ull << 20;
    if (l.output_bytes == 0) l.output_bytes = 256ull << 20;
    if (l.cpu_seconds == 0) l.cpu_seconds = 60;
    if (l.wall_ms == 0) l.wall_ms = 120000;
    if (l.n_processes == 0) l.n_processes = 1;
    if (l.n_files == 0) l.n_files = 64;
    return l;
}

static vt_status memory_file(vt_slice bytes, int *fd, vt_err *err)
{
    int f = memfd_create("vetro", MFD_CLOEXEC);
    if (f < 0) return vt_fail_errno(err, VT_EIO, "cannot make a file in memory");
    vt_status st = vt_file_write_all(f, bytes, err);
    if (st == VT_OK && lseek(f, 0, SEEK_SET) != 0)
        st = vt_fail_errno(err, VT_EIO, "cannot rewind a file in memory");
    if (st != VT_OK) close(f);
    else *fd = f;
    return st;
}

/* The job's input as a descriptor of its own, at its start and readable only. */
static vt_status open_input(const vt_sandbox_job *job, int *fd, vt_err *err)
{
    char path[MAX_TEXT];
    if (job->input.len > 0) return memory_file(job->input, fd, err);
    if (job->input_fd > 0) snprintf(path, sizeof path, "/proc/self/fd/%d", job->input_fd);
    else snprintf(path, sizeof path, "/dev/null");
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0) return VT_OK;
    if (job->input_fd > 0) { /* without /proc: a duplicate, which shares its position */
        *fd = fcntl(job->input_fd, F_DUPFD_CLOEXEC, 0);
        if (*fd >= 0 && lseek(*fd, 0, SEEK_SET) == 0) return VT_OK;
        if (*fd >= 0) close(*fd);
    }
    return vt_fail_errno(err, VT_EIO, "cannot open the input");
}

static vt_status run_bwrap(const vt_sandbox *sb, const vt_sandbox_job *job, vt_child_plan *plan,
                           vt_buffer *out, vt_buffer *messages, vt_sandbox_result *result,
                           vt_err *err)
{
    arguments a = {.n = 0};
    bwrap_arguments(sb, job, plan->limits, &a);
    if (a.is_full) return vt_fail(err, VT_ELIMIT, "more than %d arguments", (int)MAX_ARGS);
    if (plan->limits->n_processes > 1 && access(prlimit_path, X_OK) != 0)
        return vt_fail(err, VT_ENOTFOUND, "%s is not installed (Debian: util-linux)", prlimit_path);
    const vt_buffer *filter =
        plan->limits->n_processes > 1 ? &sb->filter_forking : &sb->filter_single;
    vt_status st = memory_file(vt_buffer_slice(filter), &plan->extra_fd, err);
    if (st != VT_OK) return st;
    plan->path = sb->bwrap_path;
    plan->argv = (char *const *)(uintptr_t)a.items; /* execve's prototype lacks const */
    plan->cwd = "/";
    /* A folder of the caller's belongs to the caller: nobody could not use it. */
    plan->drops_root = sb->drops_root && job->work_dir == NULL;
    st = vt_child_run(plan, out, messages, result, err);
    close(plan->extra_fd);
    return st;
}

static vt_status run_landlock(const vt_sandbox *sb, const vt_sandbox_job *job, vt_child_plan *plan,
                              vt_buffer *out, vt_buffer *messages, vt_sandbox_result *result,
                              vt_err *err)
{
    if (plan->limits->n_processes > 1)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "a job with several processes needs bubblewrap, and %.200s",
                       sb->description);
    vt_status st = vt_landlock_prepare(job->work_dir, &plan->ruleset_fd, err);
    if (st != VT_OK) return st;
    plan->path = job->argv[0];
    plan->argv = (char *const *)(uintptr_t)job->argv;
    plan->cwd = job->work_dir ? job->work_dir : "/";
    plan->is_confined = true;
    plan->drops_root = sb->drops_root && job->work_dir == NULL;
    plan->filter = (struct sock_fprog){
        .len = (unsigned short)(sb->filter_alone.len / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(void *)sb->filter_alone.ptr,
    };
    st = vt_child_run(plan, out, messages, result, err);
    close(plan->ruleset_fd);
    return st;
}

/* The first line of the error output, for the message. */
static vt_slice first_line(const vt_buffer *messages)
{
    vt_slice s = vt_slice_trim(vt_buffer_slice(messages));
    s = vt_slice_take(s, vt_slice_find(s, VT_S("\n")));
    return vt_slice_take(s, 160);
}

static vt_status judge(const char *program, const vt_buffer *messages, const vt_sandbox_result *r,
                       vt_err *err)
{
    vt_slice why = first_line(messages);
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;
    if (r->exit_code == 0) return VT_OK;
    if (vt_slice_starts(why, VT_S("bwrap: ")))
        return vt_fail(err, VT_EIO, "the sandbox could not start: %.*s", VT_ARG(why));
    if (r->signal != 0)
        return vt_fail(err, VT_EINPUT, "%s was ended by signal %d%s%.*s", name, r->signal,
                       why.len ? ": " : "", VT_ARG(why));
    return vt_fail(err, VT_EINPUT, "%s failed with exit code %d%s%.*s", name, r->exit_code,
                   why.len ? ": " : "", VT_ARG(why));
}

vt_status vt_sandbox_run(const vt_sandbox *sandbox, const vt_sandbox_job *job, vt_buffer *out,
                         vt_buffer *messages, vt_sandbox_result *result, vt_err *err)
{
    if (sandbox->kind == VT_SANDBOX_NONE)
        return vt_fail(err, VT_EUNSUPPORTED, "%.300s", sandbox->description);
    if (job->argv[0] == NULL || job->argv[0][0] != '/' || access(job->argv[0], X_OK) != 0)
        return vt_fail(err, VT_ENOTFOUND, "%.200s is not installed",
                       job->argv[0] ? job->argv[0] : "the program");
    vt_sandbox_limits limits = with_defaults(&job->limits);
    vt_child_plan plan = {
        .envp = environment,
        .stdin_fd = -1,
        .extra_fd = -1,
        .ruleset_fd = -1,
        .limits = &limits,
        .is_cancelled = job->is_cancelled,
    };
    vt_sandbox_result r = {.exit_code = -1};
    vt_buffer own;
    vt_buffer_init(&own, 64 << 10);
    vt_buffer *said = messages ? messages : &own;
    vt_status st = open_input(job, &plan.stdin_fd, err);
    if (st == VT_OK) {
        st = sandbox->kind == VT_SANDBOX_BWRAP
                 ? run_bwrap(sandbox, job, &plan, out, said, &r, err)
                 : run_landlock(sandbox, job, &plan, out, said, &r, err);
        close(plan.stdin_fd);
    }
    /* bwrap hands a signal on as a shell does. */
    if (sandbox->kind == VT_SANDBOX_BWRAP && r.exit_code > SHELL_SIGNAL && r.exit_code < 193) {
        r.signal = r.exit_code - SHELL_SIGNAL;
        r.exit_code = -1;
    }
    if (st == VT_OK) st = judge(job->argv[0], said, &r, err);
    if (result != NULL) *result = r;
    vt_buffer_deinit(&own);
    return st;
}

/* Whether the sandbox, set up as it is now, runs a program that does nothing. */
static bool works(const vt_sandbox *sb, vt_err *why)
{
    static const char *const argv[] = {"/usr/bin/true", NULL};
    vt_sandbox_job job = {.argv = argv, .limits = {.wall_ms = 10000}};
    vt_buffer out;
    vt_buffer_init(&out, 4096);
    vt_status st = vt_sandbox_run(sb, &job, &out, NULL, NULL, why);
    vt_buffer_deinit(&out);
    return st == VT_OK;
}

static bool try_kind(vt_sandbox *sb, vt_sandbox_kind kind, vt_err *why)
{
    sb->kind = kind;
    sb->drops_root = geteuid() == 0;
    if (works(sb, why)) return true;
    if (!sb->drops_root) return false;
    sb->drops_root = false; /* where only root may make namespaces */
    return works(sb, why);
}

static vt_status build_filters(vt_sandbox *sb, vt_err *err)
{
    vt_buffer_init(&sb->filter_single, 1 << 20);
    vt_buffer_init(&sb->filter_forking, 1 << 20);
    vt_buffer_init(&sb->filter_alone, 1 << 20);
    vt_status st = vt_filter_build(&(vt_filter_options){0}, &sb->filter_single, err);
    if (st == VT_OK)
        st = vt_filter_build(&(vt_filter_options){.can_fork = true}, &sb->filter_forking, err);
    if (st == VT_OK)
        st = vt_filter_build(&(vt_filter_options){.is_only_wall = true}, &sb->filter_alone, err);
    return st;
}

static void choose(vt_sandbox *sb, vt_sandbox_kind only)
{
    vt_err no_bwrap = {.msg = "not tried"};
    vt_err no_landlock = {.msg = "not tried"};
    if (access(sb->bwrap_path, X_OK) != 0)
        snprintf(no_bwrap.msg, sizeof no_bwrap.msg, "%.200s is not installed", sb->bwrap_path);
    else if (only != VT_SANDBOX_LANDLOCK && try_kind(sb, VT_SANDBOX_BWRAP, &no_bwrap)) {
        snprintf(sb->description, sizeof sb->description,
                 "bubblewrap: own namespaces, no network, seccomp, limits%s",
                 sb->drops_root ? "; as nobody" : "");
        return;
    }
    if (only != VT_SANDBOX_BWRAP && try_kind(sb, VT_SANDBOX_LANDLOCK, &no_landlock)) {
        snprintf(sb->description, sizeof sb->description,
                 "Landlock (ABI %d), seccomp and limits, without namespaces: bubblewrap can't be "
                 "used (%.200s)%s",
                 vt_landlock_abi(), no_bwrap.msg, sb->drops_root ? "; as nobody" : "");
        return;
    }
    sb->kind = VT_SANDBOX_NONE;
    snprintf(
        sb->description, sizeof sb->description,
        "no sandbox works here, so programs on untrusted input are not run: bubblewrap: %.160s; "
        "Landlock: %.160s. Install bubblewrap (Debian: apt install bubblewrap) and allow user "
        "namespaces, or use a kernel with Landlock (5.13)",
        no_bwrap.msg, no_landlock.msg);
}

vt_status vt_sandbox_open(const vt_sandbox_options *options, vt_sandbox **out, vt_err *err)
{
    vt_sandbox_options o = options ? *options : (vt_sandbox_options){0};
    vt_sandbox *sb = vt_calloc(1, sizeof *sb);
    if (sb == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    sb->bwrap_path = vt_strdup(vt_slice_cstr(o.bwrap_path ? o.bwrap_path : "/usr/bin/bwrap"));
    vt_status st = build_filters(sb, err);
    if (st == VT_OK && sb->bwrap_path == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
    if (st != VT_OK) {
        vt_sandbox_close(sb);
        return st;
    }
    choose(sb, o.only);
    *out = sb;
    return VT_OK;
}

void vt_sandbox_close(vt_sandbox *sandbox)
{
    if (sandbox == NULL) return;
    vt_buffer_deinit(&sandbox->filter_single);
    vt_buffer_deinit(&sandbox->filter_forking);
    vt_buffer_deinit(&sandbox->filter_alone);
    vt_free(sandbox->bwrap_path);
    vt_free(sandbox);
}

vt_sandbox_kind vt_sandbox_get_kind(const vt_sandbox *sandbox)
{
    return sandbox->kind;
}

const char *vt_sandbox_describe(const vt_sandbox *sandbox)
{
    return sandbox->description;
}
