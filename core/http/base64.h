/* Base64 (RFC 4648), for Basic credentials, the data fields of kubeconfig files, and JWT.
 *
 * Threads: pure functions. */
#ifndef ER_HTTP_BASE64_H
#define ER_HTTP_BASE64_H

#include "base/buf.h"

void er_base64_encode(er_str bytes, er_buf *out);
/* The alphabet for URLs and names (section 5), without padding. */
void er_base64url_encode(er_str bytes, er_buf *out);

/* Strict: the alphabet of section 4, padded, unused bits zero; CR and LF are passed over, as YAML
 * block texts have them. False for anything else; out then holds what came before. */
bool er_base64_decode(er_str text, er_buf *out);

#endif
