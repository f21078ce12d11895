#include "http/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void er_base64_encode(er_str bytes, er_buf *out) {
    const unsigned char *p = (const unsigned char *)bytes.p;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)p[i] << 16;
        v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)p[i + 2] : 0;
        char quad[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                        left > 1 ? alphabet[v >> 6 & 63] : '=', left > 2 ? alphabet[v & 63] : '='};
        er_buf_put(out, quad, sizeof quad);
    }
}

void er_base64url_encode(er_str bytes, er_buf *out) {
    size_t start = out->len;
    er_base64_encode(bytes, out);
    size_t end = start;
    for (size_t i = start; i < out->len && out->p[i] != '='; i++) {
        out->p[i] = out->p[i] == '+' ? '-' : out->p[i] == '/' ? '_' : out->p[i];
        end = i + 1;
    }
    if (end < out->len) {
        out->len = end;
        out->p[end] = '\0';
    }
}

static int value_of(char c) {
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

/* The bytes of one group of four; pads: how many of them are '='. */
static bool put_group(const int v[4], size_t pads, er_buf *out) {
    uint32_t bits = (uint32_t)v[0] << 18 | (uint32_t)v[1] << 12;
    bits |= (uint32_t)v[2] << 6 | (uint32_t)v[3];
    unsigned char bytes[3] = {(unsigned char)(bits >> 16), (unsigned char)(bits >> 8),
                              (unsigned char)bits};
    er_buf_put(out, bytes, 3 - pads);
    return (pads < 1 || bytes[2] == 0) && (pads < 2 || bytes[1] == 0);
}

bool er_base64_decode(er_str text, er_buf *out) {
    int group[4] = {0};
    size_t n = 0;
    size_t pads = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\n' || c == '\r') {
            continue;
        }
        int v = value_of(c);
        bool is_pad = c == '=' && n >= 2;
        if ((v < 0 && !is_pad) || (v >= 0 && pads > 0)) {
            return false;
        }
        pads += is_pad;
        group[n++] = is_pad ? 0 : v;
        if (n == 4) {
            if (!put_group(group, pads, out)) {
                return false;
            }
            n = 0;
        }
    }
    return n == 0;
}
