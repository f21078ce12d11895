/* kube: any kubeconfig gives credentials that can be used, or an error that says what to do.
 *
 * Nothing is opened with what was loaded: no connection, no plugin.
 * Input: one file; behind a line "---- next", a second one. */
#include "fuzz.h"

#include "kube/kube_priv.h"

#include <sys/mman.h>
#include <unistd.h>

#define NEXT "---- next\n"

/* A file of these bytes, by path. */
typedef struct file {
    int fd;
    char path[64];
} file;

static file file_of(er_str text) {
    file f = {.fd = memfd_create("kubeconfig", MFD_CLOEXEC)};
    FUZZ_CHECK(f.fd >= 0);
    FUZZ_CHECK(write(f.fd, text.p, text.n) == (ssize_t)text.n);
    (void)snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static void check_usable(const er_kube_config *config) {
    const char *server = er_kube_config_server(config);
    FUZZ_CHECK(strncmp(server, "http://", 7) == 0 || strncmp(server, "https://", 8) == 0);
    FUZZ_CHECK(strpbrk(server, "@?# \t\r\n") == NULL && server[strlen(server) - 1] != '/');
    FUZZ_CHECK(er_kube_config_namespace(config)[0] != '\0');
    FUZZ_CHECK(er_kube_config_context(config)[0] != '\0');
    FUZZ_CHECK(strstr(er_kube_config_origin(config), er_kube_config_context(config)) != NULL);
    char id[65];
    er_kube_config_id(config, id);
    FUZZ_CHECK(strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64);
    for (size_t i = 0; i < config->impersonate_n; i++) {
        FUZZ_CHECK(strpbrk(config->impersonate[i].value, "\r\n") == NULL);
    }
}

/* Loads a list of files as KUBECONFIG names them. NULL: an error, which is in err. */
static er_kube_config *load(const char *list, er_err *err) {
    const er_kube_settings settings = {0};
    const er_kube_places places = {.account_dir = "/nonexistent", .kubeconfig = list};
    er_kube_config *config = NULL;
    *err = (er_err){0};
    er_status status = er_kube_config_load_from(&settings, &places, &config, err);
    FUZZ_CHECK((status == ER_OK) == (config != NULL));
    if (status != ER_OK) {
        FUZZ_CHECK(status == ER_E_CONFIG && err->code == ER_E_CONFIG && err->msg[0] != '\0');
    } else {
        check_usable(config);
    }
    return config;
}

static bool same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The same files once more in the list change nothing: the first that defines an entry owns it. */
static void check_repeated(const char *list, const er_kube_config *config) {
    char twice[2 * 140];
    er_err err;
    (void)snprintf(twice, sizeof twice, "%s:%s", list, list);
    er_kube_config *again = load(twice, &err);
    FUZZ_CHECK((again != NULL) == (config != NULL));
    if (config != NULL) {
        FUZZ_CHECK(same(config->server, again->server) && same(config->token, again->token));
        FUZZ_CHECK(same(config->username, again->username) &&
                   same(config->token_file, again->token_file) &&
                   same(config->namespace_, again->namespace_) && same(config->id, again->id));
    }
    er_kube_config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    er_str all = {(const char *)data, size};
    const char *next = size == 0 ? NULL : memmem(data, size, NEXT, strlen(NEXT));
    size_t n = next == NULL ? size : (size_t)(next - all.p);
    file first = file_of((er_str){all.p, n});
    size_t skip = next == NULL ? n : n + strlen(NEXT);
    file second = file_of((er_str){all.p + skip, size - skip});
    char list[140];
    (void)snprintf(list, sizeof list, "%s%s%s", first.path, next == NULL ? "" : ":",
                   next == NULL ? "" : second.path);
    er_err err;
    er_kube_config *config = load(list, &err);
    check_repeated(list, config);
    er_kube_config_free(config);
    (void)close(first.fd);
    (void)close(second.fd);
    return 0;
}
