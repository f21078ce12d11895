/* A request as explain shows it. Threads: pure. */
#ifndef ER_SINKS_HTTP_PREVIEW_H
#define ER_SINKS_HTTP_PREVIEW_H

#include "http/http.h"

/* Method and URL, the headers, an empty line, the body. url: the request's, as it may be shown; the
 * values of headers are shown as they are, so the caller has hidden what is secret. */
void er_http_preview(const er_http_request *req, er_str url, er_buf *out);

#endif
