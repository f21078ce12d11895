/* What the plugin is told: KUBERNETES_EXEC_INFO. */
#include "base/file.h"
#include "base/json_write.h"
#include "http/base64.h"
#include "kube/kube_priv.h"

#include <string.h>

#define CA_MAX_BYTES (96u << 10)

static er_status put_ca(const er_kube_config *config, er_jw *w, er_err *err) {
    er_buf pem;
    er_buf code;
    er_buf_init(&pem, CA_MAX_BYTES);
    er_buf_init(&code, 2u * CA_MAX_BYTES);
    er_status status = ER_OK;
    if (config->ca_pem != NULL) {
        er_buf_puts(&pem, config->ca_pem);
        status = er_buf_status(&pem);
    } else if (config->tls.ca_file != NULL) {
        status = er_file_read(config->tls.ca_file, &pem, err);
    }
    if (status == ER_E_LIMIT) {
        (void)er_err_set(err, status, "cannot be told of a cluster with so large a CA");
    }
    er_base64_encode(er_buf_str(&pem), &code);
    er_jw_kstr_opt(w, "certificate-authority-data", er_buf_str(&code));
    er_buf_fini(&pem);
    er_buf_fini(&code);
    return status;
}

static er_status put_cluster(const er_exec_spec *spec, const er_kube_config *config, er_jw *w,
                             er_err *err) {
    er_jw_key(w, "cluster");
    er_jw_object(w);
    er_jw_kstr(w, "server", er_str_of(config->server));
    er_jw_kstr_opt(w, "tls-server-name", er_str_of(config->tls.server_name));
    if (config->tls.insecure_skip_verify) {
        er_jw_kbool(w, "insecure-skip-tls-verify", true);
    }
    er_status status = put_ca(config, w, err);
    er_jw_kstr_opt(w, "proxy-url", er_str_of(config->proxy));
    if (config->no_compression) {
        er_jw_kbool(w, "disable-compression", true);
    }
    er_jw_key(w, "config"); /* null when there is none, as from kubectl */
    er_jw_raw(w, er_str_of(spec->cluster_config == NULL ? "null" : spec->cluster_config));
    er_jw_object_end(w);
    return status;
}

er_status er_exec_info(const er_exec_spec *spec, const er_kube_config *config, er_buf *out,
                       er_err *err) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "kind", ER_STR("ExecCredential"));
    er_jw_kstr(&w, "apiVersion", er_str_of(spec->api_version));
    er_jw_key(&w, "spec");
    er_jw_object(&w);
    er_status status = ER_OK;
    if (spec->provide_cluster) {
        status = put_cluster(spec, config, &w, err);
    }
    er_jw_kbool(&w, "interactive", false); /* a daemon has nobody to ask */
    er_jw_object_end(&w);
    er_jw_object_end(&w);
    return status;
}
