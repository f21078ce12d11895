/* One connection to Redis: TCP, TLS or a Unix socket; AUTH, SELECT, CLIENT SETNAME.
 *
 * hiredis's blocking calls cannot be given up, so its context is used without blocking, and the
 * waiting is done here, for the socket and the cancel token at once. The name is looked up, the
 * password and the files of TLS are looked at for each new connection.
 * Threads: the sink's own. */
#ifndef ER_SINKS_REDIS_CONNECT_H
#define ER_SINKS_REDIS_CONNECT_H

#include "http/http.h"
#include "sinks/redis_reply.h"

typedef struct er_redis_options { /* all is borrowed and outlives the connection */
    const char *what;             /* "sinks.NAME", for errors */
    const char *address;          /* er_redis_address_check has taken it */
    const char *username;         /* "": none, or the default user */
    const er_secret_ref *password;
    const char *client_name;
    int64_t db;
    const er_tls_settings *tls; /* NULL: without */
    int64_t connect_ms;         /* until the server has answered the first commands */
    er_cancel *cancel;
    er_heart *heart;
    bool is_preview; /* no file of TLS is read */
} er_redis_options;

/* host:port, host (port 6379), [IPv6]:port or unix:/path; for er_field.check. */
er_status er_redis_address_check(const char *address, er_err *err);

typedef struct er_redis_conn er_redis_conn;

/* Reads the password and tries the files of TLS: ER_E_CONFIG. Does not connect. */
er_status er_redis_conn_new(const er_redis_options *options, er_redis_conn **out, er_err *err);
void er_redis_conn_free(er_redis_conn *conn);              /* NULL is allowed */
const char *er_redis_conn_peer(const er_redis_conn *conn); /* "host:port", "unix:/path" */

/* Makes sure of a connection that was alive just now. Errors: ER_E_UNAVAILABLE, ER_E_TIMEOUT,
 * ER_E_DENIED, ER_E_CANCELLED. */
er_status er_redis_conn_open(er_redis_conn *conn, er_err *err);
void er_redis_conn_close(er_redis_conn *conn);

/* Adds a command to what is to be sent. Errors: ER_E_NOMEM; the connection is closed then. */
er_status er_redis_conn_put(er_redis_conn *conn, er_str command, er_err *err);

/* Told each reply, in the order of the commands. */
typedef void (*er_redis_on_reply)(void *arg, size_t i, const er_redis_reply *reply);

/* Sends what was put and waits for n replies. After an error nothing is known of the commands whose
 * replies were not told; the connection is closed. Errors: ER_E_UNAVAILABLE, ER_E_TIMEOUT,
 * ER_E_CANCELLED. */
er_status er_redis_conn_run(er_redis_conn *conn, size_t n, int64_t timeout_ms,
                            er_redis_on_reply on_reply, void *arg, er_err *err);

#endif
