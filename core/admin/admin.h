/* The admin server: /metrics, /livez, /readyz (libmicrohttpd, its own thread).
 *
 * /livez: every thread has beaten its heart within 60 s; it depends on no API server and no sink.
 * /readyz: every check passes. ?verbose lists the checks in words ("[+]name: text").
 * GET and HEAD; anything else is 405; unknown paths are 404. At most 16 connections, 10 s each. */
#ifndef ER_ADMIN_ADMIN_H
#define ER_ADMIN_ADMIN_H

#include "base/metrics.h"
#include "base/thread.h"
#include "config/config.h"

typedef struct er_admin_settings { /* admin: */
    char *listen;                  /* "0.0.0.0:8080", "[::1]:8080", port 0: any; "": no server */
} er_admin_settings;
extern const er_field er_admin_rows[];

/* Checks of /readyz; called on the admin thread. text: what ?verbose shows behind the name. */
typedef struct er_ready_check {
    const char *name;
    bool (*check)(void *arg, er_buf *text);
    void *arg;
} er_ready_check;

typedef struct er_admin er_admin;
/* checks, hearts and metrics are borrowed and must outlive the server. *out is NULL when listen is
 * "" (stop and port take NULL). Errors: ER_E_CONFIG (address unusable), ER_E_IO (in use). */
er_status er_admin_start(const er_admin_settings *settings, er_metrics *metrics, er_hearts *hearts,
                         const er_ready_check *checks, size_t checks_n, er_admin **out,
                         er_err *err);
void er_admin_stop(er_admin *admin);
/* The port that was bound; 0 without a server. */
int er_admin_port(const er_admin *admin);

#endif
