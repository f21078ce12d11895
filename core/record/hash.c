#include "record/hash.h"

#include "base/err.h"

#include <openssl/evp.h>

void er_sha256_hex(er_str s, char *out, unsigned n) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_n = 0;
    ER_ASSERT(EVP_Digest(s.n > 0 ? s.p : "", s.n, digest, &digest_n, EVP_sha256(), NULL) == 1);
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < n && i < digest_n * 2; i++) {
        out[i] = hex[(i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2]) & 15];
    }
    out[n] = '\0';
}
