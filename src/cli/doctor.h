/* doctor.h -- the result of one check of `vetro doctor`, and the checks that fill files of their
 * own. */
#ifndef VT_CLI_DOCTOR_H
#define VT_CLI_DOCTOR_H

#include <stdbool.h>

typedef struct {
    bool ok;
    char detail[512];
    const char *remedy; /* constant; NULL when ok */
} vt_doctor_check;

/* Runs a program in the sandbox that tries to get out of it (doctor_sandbox.c). */
void vt_doctor_sandbox(vt_doctor_check *check);
/* Every instruction set gives the bits that stand in doctor_arithmetic.c. */
void vt_doctor_arithmetic(vt_doctor_check *check);

#endif
