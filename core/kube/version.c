/* resourceVersions. */
#include "kube/kube.h"

#include <string.h>

bool er_version_valid(er_str version) {
    if (version.n == 0 || version.n >= ER_VERSION_MAX || (version.p[0] == '0' && version.n > 1)) {
        return false;
    }
    for (size_t i = 0; i < version.n; i++) {
        if (version.p[i] < '0' || version.p[i] > '9') {
            return false;
        }
    }
    return true;
}

int er_version_cmp(er_str a, er_str b) {
    if (a.n != b.n) {
        return a.n < b.n ? -1 : 1;
    }
    return a.n == 0 ? 0 : memcmp(a.p, b.p, a.n);
}
