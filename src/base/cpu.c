/* cpu.c -- see cpu.h.
 *
 * Everything is asked of the kernel anew at each call, as masks and limits may change while the
 * process runs; nothing here is called more than a few times a run. */
#include "base/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "base/alloc.h"
#include "base/cgroup.h"
#include "base/file.h"
#include "base/parse.h"

enum { MAX_TEXT = 4 << 20, MOST_CPUS = 1 << 16 };

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

/* A whole file of /proc or /sys; empty when it can't be read. The text lives in *buffer. */
static vt_slice read_text(const char *path, vt_buffer *buffer)
{
    vt_buffer_init(buffer, MAX_TEXT);
    if (vt_file_read(path, MAX_TEXT, buffer, NULL) != VT_OK) return (vt_slice){0};
    return vt_buffer_slice(buffer);
}

/* What follows the colon on the first line that begins with `key`; empty when there is none. */
static vt_slice value_of(vt_slice text, vt_slice key)
{
    while (text.len > 0 && !vt_slice_starts(text, key))
        text = vt_slice_skip(text, vt_slice_find(text, VT_S("\n")) + 1);
    text = vt_slice_take(text, vt_slice_find(text, VT_S("\n")));
    return vt_slice_trim(vt_slice_skip(text, vt_slice_find(text, VT_S(":")) + 1));
}

void vt_cpu_model_name(vt_slice cpuinfo, char *out, size_t cap)
{
    vt_slice name = value_of(cpuinfo, VT_S("model name"));
    vt_slice implementer = value_of(cpuinfo, VT_S("CPU implementer"));
    vt_slice part = value_of(cpuinfo, VT_S("CPU part"));
    if (name.len > 0) snprintf(out, cap, "%.*s", VT_ARG(name));
    else if (implementer.len > 0)
        snprintf(out, cap, "Arm CPU, implementer %.*s, part %.*s", VT_ARG(implementer),
                 VT_ARG(part));
    else snprintf(out, cap, "unknown CPU");
}

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
    vt_buffer text;
    vt_cpu_model_name(read_text("/proc/cpuinfo", &text), out->model, sizeof out->model);
    vt_buffer_deinit(&text);
}

/* ---- CPUs ---- */

/* Whether *first .. *last are the next CPUs of the list, which is then the rest. */
static bool next_range(vt_slice *list, uint64_t *first, uint64_t *last)
{
    size_t comma = vt_slice_find(*list, VT_S(","));
    vt_slice range = vt_slice_take(*list, comma);
    *list = vt_slice_skip(*list, comma + 1);
    size_t dash = vt_slice_find(range, VT_S("-"));
    if (!vt_parse_u64(vt_slice_take(range, dash), first)) return false;
    *last = *first;
    return dash == range.len || vt_parse_u64(vt_slice_skip(range, dash + 1), last);
}

size_t vt_cpu_lowest_of(vt_slice list, const bool *is_allowed, size_t n)
{
    size_t lowest = n;
    uint64_t first, last;
    list = vt_slice_trim(list);
    while (list.len > 0) {
        if (!next_range(&list, &first, &last)) return n;
        for (uint64_t cpu = first; cpu <= last && cpu < lowest; cpu++)
            if (is_allowed[cpu]) lowest = (size_t)cpu;
    }
    return lowest;
}

/* How many cores the allowed CPUs belong to: those CPUs are counted that are the lowest allowed one
 * of their core. A CPU whose core is not known counts as one. */
static int count_cores(const bool *is_allowed, size_t n)
{
    int n_cores = 0;
    for (size_t cpu = 0; cpu < n; cpu++) {
        if (!is_allowed[cpu]) continue;
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/topology/thread_siblings_list",
                 cpu);
        vt_buffer text;
        size_t lowest = vt_cpu_lowest_of(read_text(path, &text), is_allowed, n);
        if (lowest == cpu || lowest == n) n_cores++;
        vt_buffer_deinit(&text);
    }
    return n_cores;
}

/* The affinity mask as n flags, the caller's to free; NULL when the kernel's is longer. */
static bool *read_affinity(size_t n)
{
    const size_t n_bytes = CPU_ALLOC_SIZE(n);
    cpu_set_t *set = vt_calloc(1, n_bytes);
    bool *is_allowed = vt_calloc(n, sizeof *is_allowed);
    if (set == NULL || is_allowed == NULL || sched_getaffinity(0, n_bytes, set) != 0) {
        vt_free(is_allowed);
        is_allowed = NULL;
    }
    for (size_t cpu = 0; is_allowed != NULL && cpu < n; cpu++)
        is_allowed[cpu] = CPU_ISSET_S(cpu, n_bytes, set);
    vt_free(set);
    return is_allowed;
}

void vt_cpu_find_usable(vt_cpu_usable *out)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    *out = (vt_cpu_usable){.n_online = online > 0 ? (int)online : 1};
    /* glibc's cpu_set_t has 1024 bits, the kernel's mask may have more. */
    size_t n = CPU_SETSIZE;
    bool *is_allowed = NULL;
    while ((is_allowed = read_affinity(n)) == NULL && n < MOST_CPUS) n *= 2;
    for (size_t cpu = 0; is_allowed != NULL && cpu < n; cpu++) out->n_allowed += is_allowed[cpu];
    if (out->n_allowed == 0) out->n_allowed = out->n_cores = out->n_online;
    else out->n_cores = count_cores(is_allowed, n);
    vt_free(is_allowed);

    vt_buffer groups, mounts;
    uint64_t quota;
    if (vt_cgroup_cpus(read_text("/proc/self/cgroup", &groups),
                       read_text("/proc/self/mountinfo", &mounts), &quota))
        out->n_quota = quota < INT32_MAX ? (int)quota : INT32_MAX;
    vt_buffer_deinit(&groups);
    vt_buffer_deinit(&mounts);
}

static int within_quota(int n, const vt_cpu_usable *usable)
{
    return usable->n_quota > 0 && usable->n_quota < n ? usable->n_quota : n;
}

int vt_cpu_concurrent(const vt_cpu_usable *usable)
{
    return within_quota(usable->n_allowed, usable);
}

int vt_cpu_threads(const vt_cpu_usable *usable)
{
    int n = usable->n_cores;
    if (n == 1 && usable->n_allowed > 1) n = 2;
    return within_quota(n, usable);
}

int vt_cpu_count(void)
{
    vt_cpu_usable usable;
    vt_cpu_find_usable(&usable);
    return vt_cpu_threads(&usable);
}

/* ---- memory ---- */

static vt_cgroup_memory cgroup_memory(void)
{
    vt_buffer groups, mounts;
    vt_cgroup_memory found = vt_cgroup_memory_limits(read_text("/proc/self/cgroup", &groups),
                                                     read_text("/proc/self/mountinfo", &mounts));
    vt_buffer_deinit(&groups);
    vt_buffer_deinit(&mounts);
    return found;
}

uint64_t vt_cpu_memory_bytes(void)
{
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
    uint64_t limit = cgroup_memory().limit;
    return limit < physical ? limit : physical;
}

uint64_t vt_cpu_memory_available(void)
{
    vt_buffer text;
    uint64_t kib = 0;
    vt_slice s = read_text("/proc/meminfo", &text);
    s = vt_slice_skip(s, vt_slice_find(s, VT_S("MemAvailable:")) + 13);
    s = vt_slice_trim(vt_slice_take(s, vt_slice_find(s, VT_S(" kB"))));
    if (!vt_parse_u64(s, &kib)) kib = 0;
    vt_buffer_deinit(&text);
    uint64_t left = cgroup_memory().left;
    return left < kib * 1024 ? left : kib * 1024;
}
