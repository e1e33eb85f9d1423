/* How many threads a machine is worth, from what its kernel says about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>

#include "base/cpu.h"

static void test_the_lowest_allowed_cpu_of_a_list_leads_its_core(void **state)
{
    (void)state;
    const bool all[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const bool upper[16] = {[8] = 1, [9] = 1, [10] = 1, [15] = 1};
    assert_int_equal(vt_cpu_lowest_of(VT_S("0\n"), all, 16), 0);
    assert_int_equal(vt_cpu_lowest_of(VT_S("3,11\n"), all, 16), 3);
    assert_int_equal(vt_cpu_lowest_of(VT_S("11,3"), all, 16), 3);
    assert_int_equal(vt_cpu_lowest_of(VT_S("2,10\n"), upper, 16), 10);
    assert_int_equal(vt_cpu_lowest_of(VT_S("0-7,9-12"), upper, 16), 9);
    assert_int_equal(vt_cpu_lowest_of(VT_S("11-99"), upper, 16), 15);
    assert_int_equal(vt_cpu_lowest_of(VT_S("0-18446744073709551615"), upper, 16), 8);
}

static void test_a_list_that_names_no_allowed_cpu_or_makes_no_sense_leads_to_none(void **state)
{
    (void)state;
    const bool upper[16] = {[8] = 1};
    static const char *const lists[] = {"",
                                        "\n",
                                        "0-7",
                                        "9",
                                        "16-20",
                                        "x",
                                        "8-",
                                        "-8",
                                        "8,,9",
                                        "8,x",
                                        "8 9",
                                        "12-4",
                                        "99999999999999999999"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        assert_int_equal(vt_cpu_lowest_of(vt_slice_cstr(lists[i]), upper, 16), 16);
}

static void expect_threads(vt_cpu_usable usable, int n_threads, int n_concurrent)
{
    assert_int_equal(vt_cpu_threads(&usable), n_threads);
    assert_int_equal(vt_cpu_concurrent(&usable), n_concurrent);
}

static void test_threads_are_cores_within_the_limit_of_the_cgroups(void **state)
{
    (void)state;
    expect_threads((vt_cpu_usable){16, 16, 16, 0}, 16, 16);
    expect_threads((vt_cpu_usable){16, 16, 8, 0}, 8, 16); /* hyperthreads */
    expect_threads((vt_cpu_usable){16, 4, 2, 0}, 2, 4);   /* taskset */
    expect_threads((vt_cpu_usable){64, 64, 32, 6}, 6, 6); /* docker run --cpus 6 */
    expect_threads((vt_cpu_usable){64, 64, 32, 48}, 32, 48);
    expect_threads((vt_cpu_usable){2, 2, 1, 0}, 2, 2); /* a virtual machine's one core */
    expect_threads((vt_cpu_usable){8, 2, 1, 1}, 1, 1);
    expect_threads((vt_cpu_usable){8, 1, 1, 0}, 1, 1);
}

static void test_a_narrower_mask_is_seen_at_once(void **state)
{
    (void)state;
    cpu_set_t before, one;
    vt_cpu_usable usable;
    vt_cpu_find_usable(&usable);
    assert_in_range(usable.n_allowed, 1, usable.n_online);
    assert_in_range(usable.n_cores, 1, usable.n_allowed);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(usable.n_allowed, CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    vt_cpu_find_usable(&usable);
    assert_int_equal(usable.n_allowed, 1);
    assert_int_equal(usable.n_cores, 1);
    assert_int_equal(vt_cpu_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void expect_model(const char *cpuinfo, const char *name)
{
    char out[80];
    vt_cpu_model_name(vt_slice_cstr(cpuinfo), out, sizeof out);
    assert_string_equal(out, name);
}

static void test_the_model_has_its_name_or_its_numbers(void **state)
{
    (void)state;
    expect_model("processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9B14\nflags\t: fpu\n",
                 "AMD EPYC 9B14");
    expect_model(
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n",
        "Arm CPU, implementer 0x41, part 0xd0c");
    expect_model("", "unknown CPU");
    expect_model("model name", "unknown CPU");
    char out[8];
    vt_cpu_model_name(VT_S("model name\t: AMD EPYC 9B14\n"), out, sizeof out);
    assert_string_equal(out, "AMD EPY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lowest_allowed_cpu_of_a_list_leads_its_core),
        cmocka_unit_test(test_a_list_that_names_no_allowed_cpu_or_makes_no_sense_leads_to_none),
        cmocka_unit_test(test_threads_are_cores_within_the_limit_of_the_cgroups),
        cmocka_unit_test(test_a_narrower_mask_is_seen_at_once),
        cmocka_unit_test(test_the_model_has_its_name_or_its_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
