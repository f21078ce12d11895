#include "sinks/http_preview.h"

void er_http_preview(const er_http_request *req, er_str url, er_buf *out) {
    er_buf_puts(out, req->method);
    er_buf_putc(out, ' ');
    er_buf_put_str(out, url);
    er_buf_putc(out, '\n');
    for (size_t i = 0; i < req->headers_n; i++) {
        er_buf_puts(out, req->headers[i].name);
        er_buf_puts(out, ": ");
        er_buf_put_str(out, req->headers[i].value);
        er_buf_putc(out, '\n');
    }
    er_buf_putc(out, '\n');
    er_buf_put_str(out, req->body);
}
