/* Google's metadata server: what a machine, or a pod on GKE, can find out about itself. Plain HTTP
 * to metadata.google.internal, or to what the variable GCE_METADATA_HOST says (host or host:port).
 *
 * Source: Google Cloud, "About VM metadata" and "GKE metadata server"; the latter refuses in the
 * first seconds of a pod. Threads: as the client. */
#ifndef ER_HTTP_METADATA_H
#define ER_HTTP_METADATA_H

#include "http/http.h"

const char *er_metadata_host(void);

#define ER_METADATA_CLUSTER_NAME     "instance/attributes/cluster-name"
#define ER_METADATA_CLUSTER_LOCATION "instance/attributes/cluster-location"
#define ER_METADATA_PROJECT          "project/project-id"
#define ER_METADATA_TOKEN            "instance/service-accounts/default/token"

/* Fills req with a GET of /computeMetadata/v1/PATH; url holds its URL. */
void er_metadata_request(const char *path, int64_t timeout_ms, er_buf *url, er_http_request *req);

#define ER_METADATA_TEXT_MAX 1024
/* Appends the value at path ("project/project-id"): UTF-8 without control characters, without white
 * space at its ends. Errors: ER_E_INVAL (there is no such value, or it is not usable), ER_E_DENIED
 * (other 3xx and 4xx), ER_E_UNAVAILABLE (no answer, 429, 5xx), ER_E_CANCELLED. */
er_status er_metadata_get(er_http_client *client, const char *path, int64_t timeout_ms, er_buf *out,
                          er_err *err);

#endif
