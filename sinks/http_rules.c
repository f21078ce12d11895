#include "sinks/http_rules.h"

static const er_http_rule common_rules[] = {
    {200, 299, ER_HTTP_DELIVERED}, {300, 399, ER_HTTP_DENIED},      {401, 401, ER_HTTP_DENIED},
    {403, 407, ER_HTTP_DENIED},    {408, 408, ER_HTTP_UNAVAILABLE}, {410, 410, ER_HTTP_DENIED},
    {413, 413, ER_HTTP_SPLIT},     {415, 415, ER_HTTP_DENIED},      {425, 425, ER_HTTP_UNAVAILABLE},
    {426, 426, ER_HTTP_DENIED},    {429, 429, ER_HTTP_UNAVAILABLE}, {400, 499, ER_HTTP_REFUSED},
    {501, 501, ER_HTTP_DENIED},    {505, 505, ER_HTTP_DENIED},
};

static const er_http_rule *find_rule(const er_http_rule *rules, size_t n, long status) {
    for (size_t i = 0; i < n; i++) {
        if (status >= rules[i].from && status <= rules[i].to) {
            return &rules[i];
        }
    }
    return NULL;
}

er_http_action er_http_action_of(const er_http_rule *rules, size_t n, long status) {
    const er_http_rule *rule = find_rule(rules, n, status);
    if (rule == NULL) {
        rule = find_rule(common_rules, sizeof common_rules / sizeof common_rules[0], status);
    }
    return rule == NULL ? ER_HTTP_UNAVAILABLE : rule->action;
}

const char *er_http_status_phrase(long status) {
    static const struct {
        short status;
        const char *phrase;
    } phrases[] = {
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}

void er_http_put_advice(long status, const char *sink, bool was_packed, er_buf *out) {
    if (status >= 300 && status < 400) {
        er_buf_putf(out, "redirects are not followed; set sinks.%s.url to the final address", sink);
        return;
    }
    switch (status) {
    case 401:
    case 403:
        er_buf_putf(out, "check sinks.%s.auth", sink);
        break;
    case 407:
        er_buf_putf(out, "the proxy wants credentials; check sinks.%s.proxy", sink);
        break;
    case 406:
    case 415:
        er_buf_putf(out, "the receiver does not take our format; check sinks.%s.url", sink);
        break;
    case 426:
    case 505:
        er_buf_putf(out, "the receiver wants another protocol; check sinks.%s.url", sink);
        break;
    default:
        er_buf_putf(out, "check sinks.%s.url", sink);
        break;
    }
    if (was_packed && (status == 400 || status == 415)) {
        er_buf_putf(out, " and sinks.%s.compression", sink);
    }
}
