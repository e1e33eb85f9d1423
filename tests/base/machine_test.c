/* What base says about the machine, the clock, the build, and where messages go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/version.h"

/* The first line of /proc/cpuinfo that begins with `name`; empty when there is none. */
static const char *flags_of_cpuinfo(const char *name)
{
    static char line[16384];
    FILE *f = fopen("/proc/cpuinfo", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL && strncmp(line, name, strlen(name)) != 0)
        line[0] = '\0';
    fclose(f);
    return line;
}

static bool has_flag(const char *flags, const char *flag)
{
    const size_t n = strlen(flag);
    for (const char *hit = strstr(flags, flag); hit != NULL; hit = strstr(hit + 1, flag))
        if (hit[-1] == ' ' && (hit[n] == ' ' || hit[n] == '\n')) return true;
    return false;
}

static void test_instruction_sets_are_those_the_kernel_lists(void **state)
{
    (void)state;
    vt_cpu_features cpu;
    vt_cpu_detect(&cpu);
    assert_true(cpu.model[0] != '\0');
#if defined(__x86_64__)
    const char *flags = flags_of_cpuinfo("flags");
    assert_int_equal(cpu.has_avx2, has_flag(flags, "avx2") && has_flag(flags, "fma"));
    assert_int_equal(cpu.has_avx_vnni, has_flag(flags, "avx_vnni"));
    assert_int_equal(cpu.has_avx512, has_flag(flags, "avx512_vnni"));
#elif defined(__aarch64__)
    const char *flags = flags_of_cpuinfo("Features");
    if (flags[0] == '\0') skip(); /* qemu in user mode shows the host's file */
    assert_int_equal(cpu.has_neon, has_flag(flags, "asimd"));
    assert_int_equal(cpu.has_dotprod, has_flag(flags, "asimddp"));
    assert_int_equal(cpu.has_i8mm, has_flag(flags, "i8mm"));
#endif
}

static void test_counts_and_sizes_are_possible(void **state)
{
    (void)state;
    assert_in_range(vt_cpu_count(), 1, (unsigned long)sysconf(_SC_NPROCESSORS_CONF));
    assert_true(vt_cpu_memory_bytes() >= 64 << 20);
    assert_true(vt_cpu_memory_available() > 0);
    assert_true(vt_cpu_memory_available() <= vt_cpu_memory_bytes());
}

static void test_the_clock_goes_forward_and_the_date_is_iso(void **state)
{
    (void)state;
    double before = vt_clock_seconds();
    assert_true(vt_clock_seconds() >= before);
    assert_true(vt_clock_unix() > 1700000000);
    char date[11];
    vt_clock_date(date);
    assert_int_equal(strlen(date), 10);
    assert_true(date[4] == '-' && date[7] == '-' && date[0] == '2');
}

static void keep_message(void *ctx, vt_log_level level, const char *message)
{
    snprintf(ctx, 2000, "%d %s", (int)level, message);
}

static void test_messages_go_to_the_sink_and_nowhere_without_one(void **state)
{
    (void)state;
    char got[2000] = "";
    vt_log(VT_LOG_ERROR, "dropped");
    vt_log_set_sink(keep_message, got);
    vt_log(VT_LOG_WARN, "disk %d %% full", 97);
    assert_string_equal(got, "1 disk 97 % full");
    char big[3000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    vt_log(VT_LOG_INFO, "%s", big);
    assert_int_equal(strlen(got), 2 + 1023);
    vt_log_set_sink(NULL, NULL);
    vt_log(VT_LOG_INFO, "dropped");
    assert_int_equal(strlen(got), 2 + 1023);
}

static void remember(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    snprintf(ctx, 100, "%s %d/%d", what, (int)done, (int)total);
}

static void test_progress_may_be_absent_and_cancelling_is_seen(void **state)
{
    (void)state;
    char got[100] = "";
    atomic_bool stop = false;
    vt_progress p = {.report = remember, .ctx = got, .is_cancelled = &stop};
    vt_progress_report(NULL, "x", 1, 2);
    vt_progress_report(&(vt_progress){0}, "x", 1, 2);
    assert_false(vt_progress_cancelled(NULL));
    assert_false(vt_progress_cancelled(&(vt_progress){0}));
    vt_progress_report(&p, "loading", 1, 2);
    assert_string_equal(got, "loading 1/2");
    assert_false(vt_progress_cancelled(&p));
    atomic_store(&stop, true);
    assert_true(vt_progress_cancelled(&p));
}

static void test_the_build_knows_its_version_and_commit(void **state)
{
    (void)state;
    assert_true(vt_version()[0] >= '0' && vt_version()[0] <= '9');
    assert_true(strlen(vt_commit()) >= 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instruction_sets_are_those_the_kernel_lists),
        cmocka_unit_test(test_counts_and_sizes_are_possible),
        cmocka_unit_test(test_the_clock_goes_forward_and_the_date_is_iso),
        cmocka_unit_test(test_messages_go_to_the_sink_and_nowhere_without_one),
        cmocka_unit_test(test_progress_may_be_absent_and_cancelling_is_seen),
        cmocka_unit_test(test_the_build_knows_its_version_and_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
