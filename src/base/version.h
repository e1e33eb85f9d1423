/* version.h -- which build this is: for `vetro --version`, `doctor`, `bench` and every record that
 * says what made it. Constant strings; safe from any thread. */
#ifndef VT_BASE_VERSION_H
#define VT_BASE_VERSION_H

const char *vt_version(void); /* "0.1.0" */
const char *vt_commit(
    void); /* "5f1b609a1b2c", "-dirty" after it when files were changed, or "unknown" */

#endif
