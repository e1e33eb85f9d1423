/* clock.c -- see clock.h. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

double vt_clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t vt_clock_unix(void)
{
    return (int64_t)time(NULL);
}

void vt_clock_date(char out[11])
{
    time_t now = time(NULL);
    struct tm parts;
    if (localtime_r(&now, &parts) == NULL || strftime(out, 11, "%Y-%m-%d", &parts) == 0)
        memcpy(out, "1970-01-01", 11);
}
