/* banned.h -- calls that nobody makes here, declared so that making one fails to compile.
 *
 * The build force-includes this file (-include) in every file of the library and the program. It
 * includes the headers that declare the calls first, so that their own inline functions are not
 * hit, and then adds the attribute by redeclaring. What the compiler can't see (tests, function
 * pointers in macros) is read by scripts/check-banned.
 *
 * Instead: memcpy with a checked length, snprintf or vt_buffer_printf, vt_slice_find, base/parse.h
 * for numbers, localtime_r, mkstemp or base/replace.h, posix_spawn, base/env.h. */
#ifndef VT_BASE_BANNED_H
#define VT_BASE_BANNED_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VT_BANNED(instead) __attribute__((unavailable("banned here: " instead)))

char *strcpy(char *, const char *) VT_BANNED("use memcpy with a checked length or snprintf");
char *strcat(char *, const char *) VT_BANNED("use vt_buffer_append");
char *strncpy(char *, const char *, size_t) VT_BANNED("use memcpy with a checked length");
int sprintf(char *, const char *, ...) VT_BANNED("use snprintf or vt_buffer_printf");
int vsprintf(char *, const char *, va_list) VT_BANNED("use vsnprintf");
char *strtok(char *, const char *) VT_BANNED("use vt_slice_find and vt_slice_skip");
int atoi(const char *) VT_BANNED("use vt_parse_i64");
long atol(const char *) VT_BANNED("use vt_parse_i64");
double atof(const char *) VT_BANNED("use vt_parse_double");
int sscanf(const char *, const char *, ...) VT_BANNED("use base/parse.h");
long strtol(const char *, char **, int) VT_BANNED("use vt_parse_i64");
unsigned long strtoul(const char *, char **, int) VT_BANNED("use vt_parse_u64");
long long strtoll(const char *, char **, int) VT_BANNED("use vt_parse_i64");
unsigned long long strtoull(const char *, char **, int) VT_BANNED("use vt_parse_u64");
float strtof(const char *, char **) VT_BANNED("use vt_parse_double");
double strtod(const char *, char **) VT_BANNED("use vt_parse_double");
struct tm *localtime(const time_t *) VT_BANNED("use localtime_r");
struct tm *gmtime(const time_t *) VT_BANNED("use gmtime_r");
char *asctime(const struct tm *) VT_BANNED("use strftime");
char *ctime(const time_t *) VT_BANNED("use strftime");
char *tmpnam(char[L_tmpnam]) VT_BANNED("use mkstemp or base/replace.h");
int system(const char *) VT_BANNED("use posix_spawn");
FILE *popen(const char *, const char *) VT_BANNED("use posix_spawn");
#ifndef VT_MAY_GETENV
char *getenv(const char *) VT_BANNED("the environment is read in base/env.c");
#endif

#endif
