/* Limits of control groups, read from texts as kernels write them and from directories that stand
 * in for /sys/fs/cgroup: a mount point is whatever mountinfo says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cgroup.h"

static void expect_path(const char *groups, const char *mounts, const char *controller,
                        const char *path)
{
    vt_cgroup found;
    if (!vt_cgroup_find(vt_slice_cstr(groups), vt_slice_cstr(mounts), controller, &found))
        fail_msg("no group of %s in %s", controller, groups);
    assert_string_equal(found.path, path);
}

static void expect_no_path(const char *groups, const char *mounts, const char *controller)
{
    vt_cgroup found;
    assert_false(vt_cgroup_find(vt_slice_cstr(groups), vt_slice_cstr(mounts), controller, &found));
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

static void test_version_2_is_one_tree_for_all_controllers(void **state)
{
    (void)state;
    const char *groups = "0::/user.slice/user-1000.slice/session-3.scope\n";
    const char *path = "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope";
    expect_path(groups, "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" V2_MOUNT, "cpu", path);
    expect_path(groups, V2_MOUNT, "memory", path);
    expect_path("0::/\n", V2_MOUNT, "memory", "/sys/fs/cgroup");
}

static void test_version_1_has_a_tree_for_each_controller(void **state)
{
    (void)state;
    const char *groups = "5:memory:/jobs/7\n4:cpuset:/\n3:cpu,cpuacct:/jobs\n0::/elsewhere\n";
    const char *mounts =
        "40 31 0:35 / /sys/fs/cgroup/cpuset rw shared:3 - cgroup cgroup rw,cpuset\n"
        "41 31 0:36 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "42 31 0:37 / /sys/fs/cgroup/memory rw shared:4 master:1 - cgroup cgroup rw,memory\n"
        "43 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    expect_path(groups, mounts, "cpu", "/sys/fs/cgroup/cpu,cpuacct/jobs");
    expect_path(groups, mounts, "memory", "/sys/fs/cgroup/memory/jobs/7");
    /* no tree of version 1 has it: the one of version 2 */
    expect_path(groups, mounts, "io", "/sys/fs/cgroup/unified/elsewhere");
}

static void test_a_container_sees_its_own_group_as_the_mount_point(void **state)
{
    (void)state;
    /* without a cgroup namespace: names of the host, a part of the tree mounted */
    const char *mounts =
        "50 40 0:37 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    expect_path("5:memory:/docker/abc\n", mounts, "memory", "/sys/fs/cgroup/memory");
    expect_path("5:memory:/docker/abc/sub\n", mounts, "memory", "/sys/fs/cgroup/memory/sub");
    /* "/docker/abcd" is not below "/docker/abc" */
    expect_path("5:memory:/docker/abcd\n", mounts, "memory", "/sys/fs/cgroup/memory");
    /* with a namespace, of a process that was moved out of its root */
    expect_path("0::/../other\n", V2_MOUNT, "memory", "/sys/fs/cgroup");
}

static void test_of_several_mounts_the_one_that_shows_the_own_group_counts(void **state)
{
    (void)state;
    const char *mounts = "50 40 0:37 /system /a rw - cgroup2 cgroup2 rw\n"
                         "51 40 0:37 /user /b rw - cgroup2 cgroup2 rw\n"
                         "52 40 0:37 / /c rw - cgroup2 cgroup2 rw\n";
    expect_path("0::/user/me\n", mounts, "cpu", "/b/me");
    expect_path("0::/other\n", mounts, "cpu", "/c/other");
}

static void test_texts_that_make_no_sense_are_no_group(void **state)
{
    (void)state;
    expect_no_path("", V2_MOUNT, "cpu");
    expect_no_path("0::/a\n", "", "cpu");
    expect_no_path("0::\n0:a\n::::\n\n", V2_MOUNT, "cpu");
    expect_no_path("0::relative\n", V2_MOUNT, "cpu");
    expect_no_path("3:cpuset:/a\n", V2_MOUNT, "cpu");
    expect_no_path("3:cpu:/a\n", V2_MOUNT, "cpu"); /* its tree is not mounted */
    expect_no_path("0::/a\n", "30 23 0:26\n30 23 0:26 / /x rw\n - cgroup2 \n", "cpu");
    char groups[VT_CGROUP_PATH + 16];
    memset(groups, 'x', sizeof groups);
    memcpy(groups, "0::/", 4);
    groups[sizeof groups - 1] = '\0';
    expect_no_path(groups, V2_MOUNT, "cpu"); /* too long */
}

static void test_going_up_ends_at_the_mount_point(void **state)
{
    (void)state;
    vt_cgroup group;
    assert_true(vt_cgroup_find(VT_S("0::/a/b\n"), VT_S(V2_MOUNT), "cpu", &group));
    assert_true(vt_cgroup_up(&group));
    assert_string_equal(group.path, "/sys/fs/cgroup/a");
    assert_true(vt_cgroup_up(&group));
    assert_string_equal(group.path, "/sys/fs/cgroup");
    assert_false(vt_cgroup_up(&group));
    assert_string_equal(group.path, "/sys/fs/cgroup");
}

/* ---- limits ---- */

/* A mount point of one's own: DIR/one/two, with files to be written. */
typedef struct {
    char dir[64];
    char groups[64];
    char mounts[256];
} tree;

static void put(const tree *t, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", t->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static tree make_tree(bool is_v2)
{
    tree t = {.dir = "/tmp/vetro-cgroup-XXXXXX"};
    char path[128];
    assert_non_null(mkdtemp(t.dir));
    for (const char *const *sub = (const char *const[]){"one", "one/two", NULL}; *sub; sub++) {
        snprintf(path, sizeof path, "%s/%s", t.dir, *sub);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    snprintf(t.groups, sizeof t.groups, "%s:/one/two\n", is_v2 ? "0:" : "4:cpu,memory");
    snprintf(t.mounts, sizeof t.mounts, "9 8 0:1 / %s rw - %s none %s\n", t.dir,
             is_v2 ? "cgroup2" : "cgroup", is_v2 ? "rw" : "rw,cpu,memory");
    return t;
}

static void remove_tree(const tree *t)
{
    static const char *const files[] = {
        "cpu.max",        "cpu.cfs_quota_us",      "cpu.cfs_period_us",     "memory.max",
        "memory.current", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"};
    static const char *const dirs[] = {"one/two", "one", "."};
    char path[160];
    for (size_t d = 0; d < sizeof dirs / sizeof *dirs; d++) {
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            snprintf(path, sizeof path, "%s/%s/%s", t->dir, dirs[d], files[i]);
            unlink(path);
        }
        snprintf(path, sizeof path, "%s/%s", t->dir, d < 2 ? dirs[d] : "");
        assert_int_equal(rmdir(path), 0);
    }
}

/* CPUs, 0 for no limit. */
static uint64_t cpus_of(const tree *t)
{
    uint64_t n = 12345;
    bool is_limited = vt_cgroup_cpus(vt_slice_cstr(t->groups), vt_slice_cstr(t->mounts), &n);
    return is_limited ? n : 0;
}

static vt_cgroup_memory memory_of(const tree *t)
{
    return vt_cgroup_memory_limits(vt_slice_cstr(t->groups), vt_slice_cstr(t->mounts));
}

static void test_the_smallest_cpu_time_of_all_levels_counts(void **state)
{
    (void)state;
    tree t = make_tree(true);
    assert_int_equal(cpus_of(&t), 0);
    put(&t, "one/two/cpu.max", "max 100000\n");
    assert_int_equal(cpus_of(&t), 0);
    put(&t, "one/cpu.max", "350000 100000\n");
    assert_int_equal(cpus_of(&t), 4); /* 3.5 */
    put(&t, "one/two/cpu.max", "600000 100000\n");
    assert_int_equal(cpus_of(&t), 4);
    put(&t, "one/two/cpu.max", "50000 100000\n");
    assert_int_equal(cpus_of(&t), 1);
    put(&t, "one/two/cpu.max", "200000 100000\n");
    assert_int_equal(cpus_of(&t), 2);
    remove_tree(&t);
}

static void test_cpu_time_of_version_1_is_quota_by_period(void **state)
{
    (void)state;
    tree t = make_tree(false);
    put(&t, "one/two/cpu.cfs_quota_us", "-1\n");
    put(&t, "one/two/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpus_of(&t), 0);
    put(&t, "cpu.cfs_quota_us", "150000\n");
    assert_int_equal(cpus_of(&t), 0); /* no period */
    put(&t, "cpu.cfs_period_us", "50000\n");
    assert_int_equal(cpus_of(&t), 3);
    remove_tree(&t);
}

static void test_files_that_hold_nonsense_are_no_limit(void **state)
{
    (void)state;
    tree t = make_tree(true);
    static const char *const texts[] = {
        "",         "\n",      "100000",    "0 100000", "1 0",
        "x 100000", "100000 ", "-5 100000", "1 2 3",    "99999999999999999999 1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put(&t, "one/two/cpu.max", texts[i]);
        assert_int_equal(cpus_of(&t), 0);
    }
    put(&t, "one/two/cpu.max", "18446744073709551615 1");
    assert_true(cpus_of(&t) == UINT64_MAX);
    put(&t, "memory.max", "many");
    assert_true(memory_of(&t).limit == UINT64_MAX && memory_of(&t).left == UINT64_MAX);
    remove_tree(&t);
}

static void test_the_smallest_memory_of_all_levels_counts_and_cached_files_are_free(void **state)
{
    (void)state;
    tree t = make_tree(true);
    put(&t, "one/two/memory.max", "max\n");
    assert_true(memory_of(&t).limit == UINT64_MAX && memory_of(&t).left == UINT64_MAX);
    put(&t, "memory.max", "8000\n");
    put(&t, "memory.current", "7000\n");
    put(&t, "one/two/memory.max", "5000\n");
    put(&t, "one/two/memory.current", "1000\n");
    assert_int_equal(memory_of(&t).limit, 5000);
    assert_int_equal(memory_of(&t).left, 1000); /* the other group's share counts as well */
    put(&t, "memory.stat", "anon 5000\nfile 2000\ninactive_file 1500\nactive_file 500\n");
    assert_int_equal(memory_of(&t).left, 2500);
    put(&t, "memory.current", "9500\n");
    assert_int_equal(memory_of(&t).left, 0);
    put(&t, "memory.stat", "inactive_file 99999\n"); /* more than is used: read at another time */
    assert_int_equal(memory_of(&t).left, 4000);
    remove_tree(&t);
}

static void test_memory_of_version_1_has_other_names(void **state)
{
    (void)state;
    tree t = make_tree(false);
    put(&t, "one/memory.limit_in_bytes", "9223372036854771712\n"); /* its "no limit" */
    put(&t, "one/memory.usage_in_bytes", "100\n");
    put(&t, "one/two/memory.limit_in_bytes", "4096\n");
    put(&t, "one/two/memory.usage_in_bytes", "1000\n");
    put(&t, "one/two/memory.stat", "inactive_file 1\ntotal_inactive_file 96\n");
    assert_int_equal(memory_of(&t).limit, 4096);
    assert_int_equal(memory_of(&t).left, 3192);
    remove_tree(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_2_is_one_tree_for_all_controllers),
        cmocka_unit_test(test_version_1_has_a_tree_for_each_controller),
        cmocka_unit_test(test_a_container_sees_its_own_group_as_the_mount_point),
        cmocka_unit_test(test_of_several_mounts_the_one_that_shows_the_own_group_counts),
        cmocka_unit_test(test_texts_that_make_no_sense_are_no_group),
        cmocka_unit_test(test_going_up_ends_at_the_mount_point),
        cmocka_unit_test(test_the_smallest_cpu_time_of_all_levels_counts),
        cmocka_unit_test(test_cpu_time_of_version_1_is_quota_by_period),
        cmocka_unit_test(test_files_that_hold_nonsense_are_no_limit),
        cmocka_unit_test(test_the_smallest_memory_of_all_levels_counts_and_cached_files_are_free),
        cmocka_unit_test(test_memory_of_version_1_has_other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
