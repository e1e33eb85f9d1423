/* probe.c -- see probe.h. */
#include "sandbox/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"

/* One line per attempt: "KEY 0 what stopped it" or "KEY 1 what it got". Arguments: secret file,
 * folder to write in, TCP port, our process id, the number of unshare(2). The C library's own calls
 * are used, so that what is tried is what a program would do. */
static const char script[] =
    "use strict; use Socket; $| = 1;\n"
    "my ($secret, $folder, $port, $pid, $unshare) = @ARGV;\n"
    "sub said { my ($key, $got, $what) = @_; $what =~ s/\\s+/ /g;\n"
    "  print \"$key \", ($got ? 1 : 0), \" $what\\n\"; }\n"
    "said('read', open(my $f, '<', $secret) ? 1 : 0, $! || 'opened');\n"
    "said('shadow', open(my $s, '<', '/etc/shadow') ? 1 : 0, $! || 'opened');\n"
    "my @w = grep { open(my $h, '>', $_) } ($secret, \"$folder/new\", '/usr/vetro-probe',\n"
    "  '/etc/vetro-probe', '/vetro-probe');\n"
    "said('write', scalar @w, @w ? \"@w\" : $!);\n"
    "my $tcp = 0; my $why = '';\n"
    "if (socket(my $t, PF_INET, SOCK_STREAM, 0)) {\n"
    "  $tcp = connect($t, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) ? 1 : 0; $why = $!;\n"
    "} else { $why = $!; }\n"
    "said('tcp', $tcp, $why || 'connected');\n"
    "my $udp = 0; $why = '';\n"
    "if (socket(my $u, PF_INET, SOCK_DGRAM, 0)) {\n"
    "  $udp = send($u, 'x', 0, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) ? 1 : 0; $why = "
    "$!;\n"
    "} else { $why = $!; }\n"
    "said('udp', $udp, $why || 'sent');\n"
    "if ($pid < 64) { said('signal', 0, 'not tried: our number may be one of its own'); }\n"
    "else { said('signal', kill(0, $pid) ? 1 : 0, $! || 'it may'); }\n"
    "my $ns = syscall($unshare + 0, 0x10000000); said('namespace', $ns == 0 ? 1 : 0, $! || "
    "'made');\n"
    "my $n = 0; while ($n < 200) { my $c = fork(); last unless defined $c;\n"
    "  if ($c == 0) { sleep 30; exit 0; } $n++; }\n"
    "said('fork', $n, $n ? \"$n processes\" : $!);\n"
    "my @m; my $mb = 0; eval { while ($mb < 4096) { push @m, 'x' x (64 << 20); $mb += 64; } };\n"
    "said('memory', 1, \"$mb MiB\");\n";

static const struct {
    const char *key;
    const char *name;
} attempts[VT_SANDBOX_CHECKS] = {
    {"read", "read a file outside"},
    {"shadow", "read the password file"},
    {"write", "write outside"},
    {"tcp", "connect to a socket"},
    {"udp", "send a datagram"},
    {"signal", "signal a process outside"},
    {"namespace", "make a namespace"},
    {"fork", "start processes"},
    {"memory", "take memory without end"},
};

typedef struct {
    char folder[64];
    char secret[96];
    int listener;
    int port;
} bait;

static void bait_remove(bait *b)
{
    char path[96];
    if (b->listener >= 0) close(b->listener);
    if (b->folder[0] == '\0') return;
    snprintf(path, sizeof path, "%s/new", b->folder);
    unlink(path);
    unlink(b->secret);
    rmdir(b->folder);
}

/* Readable and writable by all, so that only the sandbox can be what stops it. */
static vt_status bait_make(bait *b, vt_err *err)
{
    *b = (bait){.listener = -1};
    char folder[] = "/tmp/vetro-probe-XXXXXX";
    if (mkdtemp(folder) == NULL) return vt_fail_errno(err, VT_EIO, "cannot make %s", folder);
    memcpy(b->folder, folder, sizeof folder);
    snprintf(b->secret, sizeof b->secret, "%s/secret", b->folder);
    int fd = open(b->secret, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 || fchmod(fd, 0666) != 0 || chmod(b->folder, 0777) != 0) {
        if (fd >= 0) close(fd);
        return vt_fail_errno(err, VT_EIO, "cannot make %s", b->secret);
    }
    vt_status st = vt_file_write_all(fd, VT_S("secret\n"), err);
    close(fd);
    if (st != VT_OK) return st;

    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (b->listener < 0 || bind(b->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(b->listener, 1) != 0 ||
        getsockname(b->listener, (struct sockaddr *)&address, &size) != 0)
        return vt_fail_errno(err, VT_EIO, "cannot listen on the loopback address");
    b->port = ntohs(address.sin_port);
    return VT_OK;
}

/* The line of an attempt in what the script printed; empty: it didn't get that far. */
static vt_slice line_of(vt_slice text, const char *key)
{
    size_t n = strlen(key);
    while (text.len > 0) {
        size_t len = vt_slice_find(text, VT_S("\n"));
        vt_slice line = vt_slice_take(text, len);
        if (line.len > n && memcmp(line.ptr, key, n) == 0 && line.ptr[n] == ' ')
            return vt_slice_skip(line, n + 1);
        text = vt_slice_skip(text, len + 1);
    }
    return (vt_slice){NULL, 0};
}

static void judge(vt_slice printed, vt_sandbox_check out[VT_SANDBOX_CHECKS])
{
    for (int i = 0; i < VT_SANDBOX_CHECKS; i++) {
        vt_slice line = line_of(printed, attempts[i].key);
        bool is_memory = strcmp(attempts[i].key, "memory") == 0;
        out[i].name = attempts[i].name;
        /* Memory is the last attempt, and the right outcome is that it never comes to print. */
        out[i].ok = is_memory ? line.len == 0 : line.len > 0 && line.ptr[0] == '0';
        if (is_memory && line.len == 0)
            snprintf(out[i].detail, sizeof out[i].detail, "ended at its limit");
        else if (line.len == 0) snprintf(out[i].detail, sizeof out[i].detail, "it was not tried");
        else {
            vt_slice what = vt_slice_take(vt_slice_skip(line, 2), 90);
            snprintf(out[i].detail, sizeof out[i].detail, "%s%.*s",
                     out[i].ok ? "" : "it could: ", VT_ARG(what));
        }
    }
}

/* What can be seen from outside overrules what the script says. */
static void look_outside(const bait *b, vt_sandbox_check out[VT_SANDBOX_CHECKS])
{
    struct stat info;
    char path[96];
    snprintf(path, sizeof path, "%s/new", b->folder);
    for (int i = 0; i < VT_SANDBOX_CHECKS; i++) {
        bool leaked = false;
        if (strcmp(attempts[i].key, "write") == 0)
            leaked = access(path, F_OK) == 0 || stat(b->secret, &info) != 0 || info.st_size != 7;
        if (strcmp(attempts[i].key, "tcp") == 0) {
            int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
            leaked = fd >= 0;
            if (fd >= 0) close(fd);
        }
        if (!leaked) continue;
        out[i].ok = false;
        snprintf(out[i].detail, sizeof out[i].detail, "seen from outside: it could");
    }
}

vt_status vt_sandbox_probe(const vt_sandbox *sandbox, vt_sandbox_check out[VT_SANDBOX_CHECKS],
                           vt_err *err)
{
    bait b;
    vt_buffer printed;
    char port[16];
    char pid[16];
    char unshare_number[16];
    vt_buffer_init(&printed, 64 << 10);
    vt_status st = bait_make(&b, err);
    if (st == VT_OK) {
        snprintf(port, sizeof port, "%d", b.port);
        snprintf(pid, sizeof pid, "%ld", (long)getpid());
        snprintf(unshare_number, sizeof unshare_number, "%d", (int)SYS_unshare);
        const char *const argv[] = {"/usr/bin/perl", "-e", script, b.secret, b.folder, port, pid,
                                    unshare_number,  NULL};
        vt_sandbox_job job = {
            .argv = argv,
            .limits = {.memory_bytes = 512 << 20, .wall_ms = 20000, .cpu_seconds = 10},
        };
        vt_sandbox_result result = {.exit_code = -1};
        st = vt_sandbox_run(sandbox, &job, &printed, NULL, &result, err);
        /* Running out of memory is how it is meant to end. */
        if (st == VT_EINPUT && printed.len > 0) st = VT_OK;
        if (st == VT_OK) {
            judge(vt_buffer_slice(&printed), out);
            look_outside(&b, out);
        }
    }
    bait_remove(&b);
    vt_buffer_deinit(&printed);
    return st;
}
