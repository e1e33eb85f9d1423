/* cgroup.h -- what the process's control groups leave it: CPU time and memory.
 *
 * A limit binds whoever is below it, so each is looked for in the process's own group and in every
 * group above it, up to the mount point, and the smallest counts. Both versions are read: a
 * controller that /proc/self/cgroup names belongs to a version 1 hierarchy, any other to the
 * version 2 one.
 *
 * The texts come from the caller, so that tests can bring their own: `groups` is
 * /proc/self/cgroup, `mounts` is /proc/self/mountinfo. Source: cgroups(7), and the kernel's
 * admin-guide/cgroup-v2 and cgroup-v1/memory.
 *
 * Failure  what can't be read, or does not exist, is no limit.
 * Threads  safe. */
#ifndef VT_BASE_CGROUP_H
#define VT_BASE_CGROUP_H

#include <stdint.h>

#include "base/slice.h"

enum { VT_CGROUP_PATH = 4096 };

/* The directory of one group in the file system. */
typedef struct {
    char path[VT_CGROUP_PATH];
    size_t n_mount; /* length of the mount point, where going up ends */
    bool is_v2;
} vt_cgroup;

/* The process's own group of `controller` ("cpu", "memory"); false when there is none. A path with
 * characters that mountinfo writes in octal (space, tab, backslash) is not found. */
bool vt_cgroup_find(vt_slice groups, vt_slice mounts, const char *controller, vt_cgroup *out);
/* One group up; false at the mount point. */
bool vt_cgroup_up(vt_cgroup *group);

/* CPU time a period, in CPUs, rounded up: half a CPU more is worth a thread that sometimes waits.
 * The smallest of all levels; false when no level has a limit. */
bool vt_cgroup_cpus(vt_slice groups, vt_slice mounts, uint64_t *n_cpus);

typedef struct {
    uint64_t limit; /* bytes, the smallest of all levels; UINT64_MAX: none */
    uint64_t left;  /* the smallest of (limit - used) of all levels; UINT64_MAX: no limit */
} vt_cgroup_memory;

/* Cached file pages that nobody uses now do not count as used: the kernel gives them up first. */
vt_cgroup_memory vt_cgroup_memory_limits(vt_slice groups, vt_slice mounts);

#endif
