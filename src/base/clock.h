/* clock.h -- time for measuring (monotonic) and for people (calendar, UTC). */
#ifndef VT_BASE_CLOCK_H
#define VT_BASE_CLOCK_H

#include <stdint.h>

double vt_clock_seconds(void);    /* monotonic, from an arbitrary start */
int64_t vt_clock_unix(void);      /* seconds since 1970 */
void vt_clock_date(char out[11]); /* today, local time: "2026-11-24" */

#endif
