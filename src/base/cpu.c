/* cpu.c -- see cpu.h. */
#include "base/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "base/file.h"
#include "base/parse.h"

#if defined(__x86_64__)
/* AVX-VNNI: leaf 7, subleaf 1, EAX bit 4. gcc 12 knows no name for it. That the system saves the
 * 256-bit registers is what "avx2" has already told. */
static bool has_avx_vnni(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || eax < 1) return false;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & (1u << 4)) != 0;
}
#endif

void vt_cpu_detect(vt_cpu_features *out)
{
    *out = (vt_cpu_features){0};
#if defined(__x86_64__)
    __builtin_cpu_init();
    out->has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
    out->has_avx_vnni = out->has_avx2 && has_avx_vnni();
    out->has_avx512 = out->has_avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    out->has_neon = true;
    out->has_dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    out->has_i8mm = out->has_dotprod && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#endif
    memcpy(out->model, "unknown CPU", 12);
    vt_buffer text;
    vt_buffer_init(&text, 4 << 20);
    if (vt_file_read("/proc/cpuinfo", 4 << 20, &text, NULL) == VT_OK) {
        vt_slice s = vt_buffer_slice(&text);
        s = vt_slice_skip(s, vt_slice_find(s, VT_S("model name")));
        s = vt_slice_skip(s, vt_slice_find(s, VT_S(":")) + 1);
        s = vt_slice_trim(vt_slice_take(s, vt_slice_find(s, VT_S("\n"))));
        if (s.len > 0) snprintf(out->model, sizeof out->model, "%.*s", VT_ARG(s));
    }
    vt_buffer_deinit(&text);
}

/* The first one or two numbers of a small file; false when they are not there ("max"). */
static bool read_numbers(const char *path, uint64_t *first, uint64_t *second)
{
    vt_buffer text;
    vt_buffer_init(&text, 4096);
    bool is_number = false;
    if (vt_file_read(path, 4096, &text, NULL) == VT_OK) {
        vt_slice s = vt_slice_trim(vt_buffer_slice(&text));
        size_t space = vt_slice_find(s, VT_S(" "));
        is_number = vt_parse_u64(vt_slice_take(s, space), first);
        if (is_number && second != NULL)
            is_number = vt_parse_u64(vt_slice_trim(vt_slice_skip(s, space)), second);
    }
    vt_buffer_deinit(&text);
    return is_number;
}

int vt_cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                        : (int)sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t quota, period;
    bool has_quota = read_numbers("/sys/fs/cgroup/cpu.max", &quota, &period);
    if (!has_quota)
        has_quota = read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota, NULL) &&
                    read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period, NULL);
    if (has_quota && period > 0 && quota > 0) {
        uint64_t allowed = (quota + period - 1) / period;
        if (allowed < (uint64_t)n) n = (int)allowed;
    }
    return n > 0 ? n : 1;
}

/* The cgroup's limit (version 2, then 1); false when there is none. */
static bool cgroup_memory(uint64_t *limit, uint64_t *used)
{
    return (read_numbers("/sys/fs/cgroup/memory.max", limit, NULL) &&
            read_numbers("/sys/fs/cgroup/memory.current", used, NULL)) ||
           (read_numbers("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit, NULL) &&
            read_numbers("/sys/fs/cgroup/memory/memory.usage_in_bytes", used, NULL));
}

uint64_t vt_cpu_memory_bytes(void)
{
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
    uint64_t limit, used;
    return cgroup_memory(&limit, &used) && limit < physical ? limit : physical;
}

uint64_t vt_cpu_memory_available(void)
{
    vt_buffer text;
    vt_buffer_init(&text, 16384);
    uint64_t kib = 0;
    if (vt_file_read("/proc/meminfo", 16384, &text, NULL) == VT_OK) {
        vt_slice s = vt_buffer_slice(&text);
        s = vt_slice_skip(s, vt_slice_find(s, VT_S("MemAvailable:")) + 13);
        s = vt_slice_trim(vt_slice_take(s, vt_slice_find(s, VT_S(" kB"))));
        if (!vt_parse_u64(s, &kib)) kib = 0;
    }
    vt_buffer_deinit(&text);
    uint64_t limit, used;
    if (cgroup_memory(&limit, &used)) {
        uint64_t left = used < limit ? limit - used : 0;
        if (left < kib * 1024) return left;
    }
    return kib * 1024;
}
