/* Requests in, answers out. */
#include "fake_server.h"

#include <string.h>

const char *const fake_end_names[] = {"none", "clean", "fin", "reset", "silent"};

/* ---- requests ---- */

er_str fake_request_header(const fake_request *request, const char *name) {
    size_t n = strlen(name);
    const char *p = request->headers.p;
    const char *end = p + request->headers.n;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        eol = eol == NULL ? end : eol;
        if ((size_t)(eol - p) > n && p[n] == ':' && strncasecmp(p, name, n) == 0) {
            return er_str_trim((er_str){p + n + 1, (size_t)(eol - p) - n - 1});
        }
        p = eol + (eol < end);
    }
    return (er_str){0};
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void decode(er_str text, er_buf *out) {
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%' && i + 2 < text.n && hex_digit(text.p[i + 1]) >= 0 &&
            hex_digit(text.p[i + 2]) >= 0) {
            c = (char)(hex_digit(text.p[i + 1]) * 16 + hex_digit(text.p[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        er_buf_putc(out, c);
    }
}

bool fake_request_param(const fake_request *request, const char *name, er_buf *out) {
    size_t n = strlen(name);
    const char *p = request->query.p;
    const char *end = p + request->query.n;
    er_buf_clear(out);
    while (p < end) {
        const char *stop = memchr(p, '&', (size_t)(end - p));
        stop = stop == NULL ? end : stop;
        if ((size_t)(stop - p) >= n && memcmp(p, name, n) == 0 && (p + n == stop || p[n] == '=')) {
            const char *value = p + n + (p + n < stop);
            decode((er_str){value, (size_t)(stop - value)}, out);
            return true;
        }
        p = stop + (stop < end);
    }
    return false;
}

/* ---- answers ---- */

static const char *reason_of(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 410:
        return "Gone";
    case 413:
        return "Content Too Large";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static void put_head(fake_conn *conn, const fake_head *head) {
    er_buf_putf(&conn->out, "HTTP/1.1 %d %s\r\n", head->status, reason_of(head->status));
    if (head->type != NULL) {
        er_buf_putf(&conn->out, "Content-Type: %s\r\n", head->type);
    }
    if (head->extra != NULL) {
        er_buf_puts(&conn->out, head->extra);
    }
    if (head->close) {
        er_buf_puts(&conn->out, "Connection: close\r\n");
        conn->end = FAKE_END_FIN;
    }
}

static bool has_body(int status) {
    return status >= 200 && status != 204 && status != 304;
}

void fake_conn_answer(fake_conn *conn, const fake_head *head, er_str body) {
    fake_cut *cut = &conn->shape.cut;
    bool is_cut = cut->end != FAKE_END_NONE && cut->bytes < body.n;
    if (conn->shape.chunked && has_body(head->status)) {
        fake_conn_begin(conn, head);
        cut->frames = 0; /* a body like this has none */
        if (fake_conn_chunk_cut(conn, body, false)) {
            fake_conn_finish(conn);
        }
        return;
    }
    er_str sent = {body.p, is_cut ? cut->bytes : body.n};
    put_head(conn, head);
    if (has_body(head->status)) {
        bool lies = is_cut && cut->end != FAKE_END_CLEAN;
        er_buf_putf(&conn->out, "Content-Length: %zu\r\n", lies ? body.n : sent.n);
    }
    er_buf_puts(&conn->out, "\r\n");
    er_buf_put_str(&conn->out, sent);
    if (is_cut && cut->end != FAKE_END_CLEAN) {
        fake_conn_end(conn, cut->end);
        return;
    }
    conn->busy = false;
}

void fake_conn_begin(fake_conn *conn, const fake_head *head) {
    put_head(conn, head);
    er_buf_puts(&conn->out, "Transfer-Encoding: chunked\r\n\r\n");
}

void fake_conn_chunk(fake_conn *conn, er_str bytes) {
    if (bytes.n > 0) {
        er_buf_putf(&conn->out, "%zx\r\n", bytes.n);
        er_buf_put_str(&conn->out, bytes);
        er_buf_put(&conn->out, "\r\n", 2);
    }
}

void fake_conn_finish(fake_conn *conn) {
    er_buf_puts(&conn->out, "0\r\n\r\n");
    conn->busy = false;
}

void fake_conn_end(fake_conn *conn, fake_end end) {
    switch (end) {
    case FAKE_END_NONE:
        break;
    case FAKE_END_CLEAN:
        fake_conn_finish(conn);
        break;
    case FAKE_END_FIN:
    case FAKE_END_RESET:
        conn->end = end;
        break;
    case FAKE_END_SILENT:
        conn->silent = true;
        break;
    }
}

bool fake_conn_chunk_cut(fake_conn *conn, er_str bytes, bool is_frame) {
    fake_cut *cut = &conn->shape.cut;
    if (cut->end == FAKE_END_NONE) {
        fake_conn_chunk(conn, bytes);
        return true;
    }
    if (cut->frames > 0 && is_frame) {
        fake_conn_chunk(conn, bytes);
        cut->frames--;
    } else {
        size_t n = bytes.n < cut->bytes ? bytes.n : cut->bytes;
        fake_conn_chunk(conn, (er_str){bytes.p, n});
        cut->bytes -= n;
    }
    if (cut->frames > 0 || cut->bytes > 0) {
        return true;
    }
    fake_conn_end(conn, cut->end);
    return false;
}
