/* http_server.h -- a small HTTP/1.1 server in a child process, with the faults that downloads meet:
 * for tests. It serves one body under every path but those below, one request a connection.
 *
 *     /file...     the body, with ETag and byte ranges
 *     /norange...  the body, Range ignored, no validator
 *     /gone        404
 *     /private     403
 *     /redirect    302 to /file
 *
 * The test sets faults in `plan`, which both processes share. */
#ifndef VT_TESTS_SUPPORT_HTTP_SERVER_H
#define VT_TESTS_SUPPORT_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"

typedef struct {
    volatile int cut_after; /* > 0: close each response after so many body bytes */
    volatile int n_cuts;    /* so many times; then it behaves */
    volatile int n_busy;    /* answer 503 so many times */
    volatile int etag;      /* number in the ETag: change it to change the file's version */
    volatile int short_by;  /* say and send a body that is so much shorter */
    volatile int sleep_ms;  /* before each 4 KiB of body */
    volatile int n_requests;
    volatile int n_partial; /* answered with 206 */
    volatile size_t n_sent; /* body bytes */
} http_plan;

typedef struct {
    pid_t pid;
    int port;
    http_plan *plan;
} http_server;

static inline void http_send(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0) return;
        p += n;
        len -= (size_t)n;
    }
}

static inline void http_status(int fd, const char *line, const char *extra)
{
    char head[512];
    int n =
        snprintf(head, sizeof head,
                 "HTTP/1.1 %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", line, extra);
    http_send(fd, head, (size_t)n);
}

/* The offset in "Range: bytes=N-", 0 when there is none or If-Range names another version. */
static inline size_t http_range(const char *request, int etag)
{
    char want[64];
    const char *range = strstr(request, "Range: bytes=");
    const char *condition = strstr(request, "If-Range: ");
    snprintf(want, sizeof want, "If-Range: \"v%d\"\r\n", etag);
    if (range == NULL) return 0;
    if (condition != NULL && strncmp(condition, want, strlen(want)) != 0) return 0;
    size_t offset = 0;
    for (range += 13; *range >= '0' && *range <= '9'; range++)
        offset = offset * 10 + (size_t)(*range - '0');
    return offset;
}

static inline void http_send_body(int fd, http_plan *plan, vt_slice body)
{
    size_t limit = body.len;
    if (plan->cut_after > 0 && plan->n_cuts > 0 && (size_t)plan->cut_after < limit) {
        limit = (size_t)plan->cut_after;
        plan->n_cuts--;
    }
    for (size_t done = 0; done < limit;) {
        size_t n = limit - done < 4096 ? limit - done : 4096;
        if (plan->sleep_ms > 0) usleep((useconds_t)plan->sleep_ms * 1000);
        http_send(fd, body.ptr + done, n);
        plan->n_sent += n;
        done += n;
    }
}

static inline void http_serve_file(int fd, http_plan *plan, vt_slice body, const char *request,
                                   bool has_ranges)
{
    char head[512];
    int n;
    if (plan->short_by > 0) body.len -= (size_t)plan->short_by;
    size_t offset = has_ranges ? http_range(request, plan->etag) : 0;
    if (offset > 0 && offset >= body.len) {
        snprintf(head, sizeof head, "Content-Range: bytes */%zu\r\n", body.len);
        http_status(fd, "416 Range Not Satisfiable", head);
        return;
    }
    if (offset > 0) {
        plan->n_partial++;
        n = snprintf(head, sizeof head,
                     "HTTP/1.1 206 Partial Content\r\nETag: \"v%d\"\r\nContent-Range: bytes "
                     "%zu-%zu/%zu\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                     plan->etag, offset, body.len - 1, body.len, body.len - offset);
    } else if (has_ranges) {
        n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nETag: \"v%d\"\r\nContent-Length: %zu\r\nConnection: "
                     "close\r\n\r\n",
                     plan->etag, body.len);
    } else {
        n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                     body.len);
    }
    http_send(fd, head, (size_t)n);
    http_send_body(fd, plan, vt_slice_skip(body, offset));
}

static inline void http_answer(int fd, http_plan *plan, vt_slice body)
{
    char request[8192];
    size_t len = 0;
    while (len + 1 < sizeof request) {
        ssize_t n = recv(fd, request + len, sizeof request - 1 - len, 0);
        if (n <= 0) return;
        len += (size_t)n;
        request[len] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL) break;
    }
    plan->n_requests++;
    if (plan->n_busy > 0) {
        plan->n_busy--;
        http_status(fd, "503 Service Unavailable", "");
    } else if (strncmp(request, "GET /gone", 9) == 0) http_status(fd, "404 Not Found", "");
    else if (strncmp(request, "GET /private", 12) == 0) http_status(fd, "403 Forbidden", "");
    else if (strncmp(request, "GET /redirect", 13) == 0)
        http_status(fd, "302 Found", "Location: /file\r\n");
    else http_serve_file(fd, plan, body, request, strncmp(request, "GET /norange", 12) != 0);
}

static inline http_server http_start(vt_slice body)
{
    http_server s = {0};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    s.plan = mmap(NULL, sizeof *s.plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    VT_CHECK(s.plan != MAP_FAILED);
    s.plan->etag = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    VT_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    VT_CHECK(listen(fd, 8) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    s.port = ntohs(address.sin_port);
    s.pid = fork();
    VT_CHECK(s.pid >= 0);
    if (s.pid == 0) {
        for (;;) {
            int client = accept(fd, NULL, NULL);
            if (client < 0) continue;
            http_answer(client, s.plan, body);
            shutdown(client, SHUT_WR);
            close(client);
        }
    }
    close(fd);
    return s;
}

static inline void http_stop(http_server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    munmap(s->plan, sizeof *s->plan);
}

#endif
