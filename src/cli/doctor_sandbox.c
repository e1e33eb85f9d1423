/* doctor_sandbox.c -- the sandbox's line of `vetro doctor`: proved by trying to get out. */
#include "cli/doctor.h"

#include <stdio.h>

#include "sandbox/probe.h"

static void say_leaks(vt_doctor_check *c, const vt_sandbox *sandbox,
                      const vt_sandbox_check checks[VT_SANDBOX_CHECKS])
{
    c->ok = true;
    for (int i = 0; i < VT_SANDBOX_CHECKS && c->ok; i++) {
        if (checks[i].ok) continue;
        c->ok = false;
        snprintf(c->detail, sizeof c->detail, "a program in it can %s: %.120s", checks[i].name,
                 checks[i].detail);
    }
    if (c->ok)
        snprintf(c->detail, sizeof c->detail, "%d escapes tried, all prevented; %.180s",
                 (int)VT_SANDBOX_CHECKS, vt_sandbox_describe(sandbox));
    else c->remedy = "don't index files of strangers here, and report this with the line above";
}

void vt_doctor_sandbox(vt_doctor_check *c)
{
    vt_err err = {0};
    vt_sandbox *sandbox = NULL;
    vt_sandbox_check checks[VT_SANDBOX_CHECKS];
    vt_status st = vt_sandbox_open(NULL, &sandbox, &err);
    if (st == VT_OK) st = vt_sandbox_probe(sandbox, checks, &err);
    if (st == VT_OK) {
        say_leaks(c, sandbox, checks);
    } else {
        snprintf(c->detail, sizeof c->detail, "%.250s", err.msg);
        c->remedy = st == VT_ENOTFOUND
                        ? "apt-get install perl-base (the attempts are made by a script)"
                        : "apt-get install bubblewrap, and allow user namespaces; PDF files are "
                          "left out until then";
    }
    vt_sandbox_close(sandbox);
}
