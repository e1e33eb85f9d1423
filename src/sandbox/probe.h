/* probe.h -- is the sandbox tight? Found out by trying to get out of it.
 *
 * A script (perl, which every Debian has) is run as a job and tries what a hostile program would:
 * read a file of ours, write outside, reach a listening socket of ours, signal us, make namespaces,
 * fork without end, eat memory. What it managed is checked from outside where it can be: a file
 * that changed, a connection that arrived.
 *
 * Failure  VT_EUNSUPPORTED or VT_ENOTFOUND when nothing can be tried. A leak is no failure of the
 * call: it is a check that is not ok.
 * Threads  safe. Takes about a quarter of a second. */
#ifndef VT_SANDBOX_PROBE_H
#define VT_SANDBOX_PROBE_H

#include "sandbox/sandbox.h"

typedef struct {
    const char *name; /* "read a file outside" */
    bool ok;          /* it was prevented */
    char detail[120];
} vt_sandbox_check;

enum { VT_SANDBOX_CHECKS = 9 };

VT_MUSTUSE vt_status vt_sandbox_probe(const vt_sandbox *sandbox,
                                      vt_sandbox_check out[VT_SANDBOX_CHECKS], vt_err *err);

#endif
