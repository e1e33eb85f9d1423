/* doctor.h -- the result of one check of `vetro doctor`, and the checks that fill files of their
 * own. */
#ifndef VT_CLI_DOCTOR_H
#define VT_CLI_DOCTOR_H

#include <stdbool.h>

typedef struct {
    bool ok;
    char detail[256];
    const char *remedy; /* constant; NULL when ok */
} vt_doctor_check;

#endif
