/* landlock.c -- see landlock.h. */
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Later than Debian 12's headers. */
enum {
    ACCESS_FS_REFER = 1 << 13,     /* ABI 2 */
    ACCESS_FS_TRUNCATE = 1 << 14,  /* ABI 3 */
    ACCESS_FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    ACCESS_NET_TCP = 3,            /* ABI 4: bind and connect */
    SCOPES = 3,                    /* ABI 6: abstract sockets and signals */
};

/* struct landlock_ruleset_attr as of ABI 6; older kernels take its beginning. */
typedef struct {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
} ruleset_attr;

static const uint64_t read_and_run =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t every_access_1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

int vt_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
                       (uint32_t)LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t handled_access(int abi)
{
    uint64_t access = every_access_1;
    if (abi >= 2) access |= ACCESS_FS_REFER;
    if (abi >= 3) access |= ACCESS_FS_TRUNCATE;
    if (abi >= 5) access |= ACCESS_FS_IOCTL_DEV;
    return access;
}

/* A path that isn't there needs no rule. */
static bool allow(int ruleset, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT;
    struct stat info;
    if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode))
        access &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                  LANDLOCK_ACCESS_FS_WRITE_FILE;
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0u);
    int why = errno;
    close(fd);
    errno = why;
    return rc == 0;
}

vt_status vt_landlock_prepare(const char *work_dir, int *ruleset_fd, vt_err *err)
{
    /* Each is a link into /usr on a merged system and a directory on an older one. */
    static const char *const readable[] = {"/usr",
                                           "/bin",
                                           "/lib",
                                           "/lib64",
                                           "/lib32",
                                           "/sbin",
                                           "/etc/ld.so.cache",
                                           "/etc/alternatives"};
    int abi = vt_landlock_abi();
    if (abi < 1) return vt_fail(err, VT_EUNSUPPORTED, "this kernel has no Landlock");
    ruleset_attr attr = {.handled_access_fs = handled_access(abi)};
    size_t size = sizeof attr.handled_access_fs;
    if (abi >= 4) {
        attr.handled_access_net = ACCESS_NET_TCP;
        size += sizeof attr.handled_access_net;
    }
    if (abi >= 6) {
        attr.scoped = SCOPES;
        size += sizeof attr.scoped;
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0u);
    if (fd < 0) return vt_fail_errno(err, VT_EUNSUPPORTED, "cannot make a Landlock rule set");
    bool is_ok = true;
    for (size_t i = 0; i < VT_COUNT(readable) && is_ok; i++)
        is_ok = allow(fd, readable[i], read_and_run);
    if (is_ok)
        is_ok =
            allow(fd, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE) &&
            allow(fd, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE);
    if (is_ok && work_dir != NULL) is_ok = allow(fd, work_dir, attr.handled_access_fs);
    if (!is_ok) {
        vt_status st = vt_fail_errno(err, VT_EUNSUPPORTED, "cannot add a Landlock rule");
        close(fd);
        return st;
    }
    *ruleset_fd = fd;
    return VT_OK;
}

bool vt_landlock_enter(int ruleset_fd)
{
    return syscall(SYS_landlock_restrict_self, ruleset_fd, 0u) == 0;
}
