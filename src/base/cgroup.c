/* cgroup.c -- see cgroup.h. */
#include "base/cgroup.h"

#include <stdio.h>

#include "base/file.h"
#include "base/parse.h"

/* Cut the text up to the next `end` off *rest; all of it when there is no other. */
static vt_slice cut(vt_slice *rest, vt_slice end)
{
    size_t at = vt_slice_find(*rest, end);
    vt_slice first = vt_slice_take(*rest, at);
    *rest = vt_slice_skip(*rest, at + end.len);
    return first;
}

/* Whether `name` is one of a list separated by commas. */
static bool is_in_list(vt_slice list, vt_slice name)
{
    while (list.len > 0)
        if (vt_slice_eq(cut(&list, VT_S(",")), name)) return true;
    return false;
}

/* Lines are "4:cpu,cpuacct:/path"; version 2's is "0::/path". */
static bool find_path(vt_slice groups, vt_slice controller, vt_slice *path, bool *is_v2)
{
    bool is_found = false;
    while (groups.len > 0) {
        vt_slice line = cut(&groups, VT_S("\n"));
        vt_slice number = cut(&line, VT_S(":")), controllers = cut(&line, VT_S(":"));
        bool is_unified = vt_slice_eq(number, VT_S("0")) && controllers.len == 0;
        bool is_named = is_in_list(controllers, controller);
        if (line.len == 0 || line.ptr[0] != '/' || !(is_named || is_unified)) continue;
        *path = line;
        *is_v2 = is_unified;
        is_found = true;
        if (is_named) break;
    }
    return is_found;
}

/* Whether `path` is `root` or below it; *below is then the rest, "" or "/...". */
static bool is_below(vt_slice path, vt_slice root, vt_slice *below)
{
    if (vt_slice_eq(root, VT_S("/"))) root.len = 0;
    if (!vt_slice_starts(path, root)) return false;
    *below = vt_slice_skip(path, root.len);
    if (vt_slice_eq(*below, VT_S("/"))) below->len = 0;
    return below->len == 0 || below->ptr[0] == '/';
}

typedef struct {
    vt_slice root;  /* the group that is mounted, of its hierarchy */
    vt_slice point; /* where */
} mount;

/* A line is "31 23 0:28 ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPER_OPTIONS"; version 1's
 * super options name the controllers. */
static bool read_mount(vt_slice line, vt_slice controller, bool is_v2, mount *out)
{
    for (int i = 0; i < 3; i++) cut(&line, VT_S(" "));
    out->root = cut(&line, VT_S(" "));
    out->point = cut(&line, VT_S(" "));
    cut(&line, VT_S(" - "));
    vt_slice type = cut(&line, VT_S(" "));
    cut(&line, VT_S(" "));
    if (out->root.len == 0 || out->point.len == 0) return false;
    return is_v2 ? vt_slice_eq(type, VT_S("cgroup2"))
                 : vt_slice_eq(type, VT_S("cgroup")) && is_in_list(line, controller);
}

bool vt_cgroup_find(vt_slice groups, vt_slice mounts, const char *controller, vt_cgroup *out)
{
    vt_slice path, name = vt_slice_cstr(controller);
    if (!find_path(groups, name, &path, &out->is_v2)) return false;
    /* Outside of the root of our namespace, or of what is mounted here: the mount point is the
     * nearest that can be seen. */
    mount chosen = {0};
    vt_slice below = {0};
    while (mounts.len > 0) {
        mount m;
        vt_slice rest = {0};
        if (!read_mount(cut(&mounts, VT_S("\n")), name, out->is_v2, &m)) continue;
        bool holds_us = is_below(path, m.root, &rest);
        if (chosen.point.len == 0 || holds_us) chosen = m;
        if (!holds_us) continue;
        if (vt_slice_find(rest, VT_S("/..")) == rest.len) below = rest;
        break;
    }
    if (chosen.point.len == 0) return false;
    int n = snprintf(out->path, sizeof out->path, "%.*s%.*s", VT_ARG(chosen.point), VT_ARG(below));
    out->n_mount = chosen.point.len;
    return n > 0 && (size_t)n < sizeof out->path;
}

bool vt_cgroup_up(vt_cgroup *group)
{
    char *slash = strrchr(group->path, '/');
    if (slash == NULL || slash < group->path + group->n_mount) return false;
    *slash = '\0';
    return true;
}

/* A small file of the group, trimmed; empty when it can't be read. */
static vt_slice read_file(const vt_cgroup *group, const char *name, vt_buffer *text)
{
    char path[VT_CGROUP_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", group->path, name);
    vt_buffer_clear(text);
    if (vt_file_read(path, text->limit, text, NULL) != VT_OK) return (vt_slice){0};
    return vt_slice_trim(vt_buffer_slice(text));
}

/* False when the file holds no number ("max", "-1"). */
static bool read_number(const vt_cgroup *group, const char *name, vt_buffer *text, uint64_t *out)
{
    return vt_parse_u64(read_file(group, name, text), out);
}

static bool read_quota(const vt_cgroup *group, vt_buffer *text, uint64_t *quota, uint64_t *period)
{
    if (!group->is_v2)
        return read_number(group, "cpu.cfs_quota_us", text, quota) &&
               read_number(group, "cpu.cfs_period_us", text, period);
    vt_slice rest = read_file(group, "cpu.max", text); /* "150000 100000", or "max 100000" */
    return vt_parse_u64(cut(&rest, VT_S(" ")), quota) && vt_parse_u64(rest, period);
}

bool vt_cgroup_cpus(vt_slice groups, vt_slice mounts, uint64_t *n_cpus)
{
    vt_cgroup group;
    vt_buffer text;
    bool is_limited = false;
    if (!vt_cgroup_find(groups, mounts, "cpu", &group)) return false;
    vt_buffer_init(&text, 4096);
    do {
        uint64_t quota, period;
        if (!read_quota(&group, &text, &quota, &period) || quota == 0 || period == 0) continue;
        uint64_t n = quota / period + (quota % period != 0);
        if (!is_limited || n < *n_cpus) *n_cpus = n;
        is_limited = true;
    } while (vt_cgroup_up(&group));
    vt_buffer_deinit(&text);
    return is_limited;
}

/* The value on the line of memory.stat that begins with `key`; 0 when there is none. */
static uint64_t read_stat(const vt_cgroup *group, vt_slice key, vt_buffer *text)
{
    vt_slice rest = read_file(group, "memory.stat", text);
    uint64_t value = 0;
    while (rest.len > 0) {
        vt_slice line = cut(&rest, VT_S("\n"));
        if (vt_slice_eq(cut(&line, VT_S(" ")), key) && vt_parse_u64(line, &value)) break;
    }
    return value;
}

vt_cgroup_memory vt_cgroup_memory_limits(vt_slice groups, vt_slice mounts)
{
    vt_cgroup_memory found = {.limit = UINT64_MAX, .left = UINT64_MAX};
    vt_cgroup group;
    vt_buffer text;
    if (!vt_cgroup_find(groups, mounts, "memory", &group)) return found;
    vt_buffer_init(&text, 65536);
    const char *limit_file = group.is_v2 ? "memory.max" : "memory.limit_in_bytes";
    const char *used_file = group.is_v2 ? "memory.current" : "memory.usage_in_bytes";
    vt_slice cached_key = group.is_v2 ? VT_S("inactive_file") : VT_S("total_inactive_file");
    do {
        uint64_t limit, used;
        if (!read_number(&group, limit_file, &text, &limit)) continue;
        if (limit < found.limit) found.limit = limit;
        if (!read_number(&group, used_file, &text, &used)) continue;
        uint64_t cached = read_stat(&group, cached_key, &text);
        used -= cached < used ? cached : used;
        uint64_t left = used < limit ? limit - used : 0;
        if (left < found.left) found.left = left;
    } while (vt_cgroup_up(&group));
    vt_buffer_deinit(&text);
    return found;
}
