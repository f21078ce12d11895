#include "watch/identity.h"
#include "base/json_read.h"
#include "base/log.h"
#include "http/metadata.h"

#include <stdlib.h>
#include <string.h>

#define METADATA_LIMIT_MS 500
#define NAME_MAX_BYTES    253
#define TURN_MS           1000

struct er_identity {
    const er_kube_config *kube;
    er_mutex lock; /* everything below */
    er_cond changed;
    char *name, *id; /* id: once found */
    bool asking;     /* a stream is finding out */
    bool found;
};

er_identity *er_identity_new(const char *name, const er_kube_config *kube) {
    er_identity *identity = er_xcalloc(1, sizeof *identity);
    identity->kube = kube;
    identity->name = er_dup(name);
    er_mutex_init(&identity->lock);
    er_cond_init(&identity->changed);
    return identity;
}

void er_identity_free(er_identity *identity) {
    if (identity == NULL) {
        return;
    }
    free(identity->name);
    free(identity->id);
    er_cond_fini(&identity->changed);
    er_mutex_fini(&identity->lock);
    free(identity);
}

bool er_identity_get(er_identity *identity, const char **name, const char **id) {
    er_lock(&identity->lock);
    bool found = identity->found;
    *name = identity->name;
    *id = identity->id;
    er_unlock(&identity->lock);
    return found;
}

static char *uid_of(er_buf *body) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *uid = NULL;
    if (body->p != NULL && er_json_parse(&doc, body->p, body->len, NULL) == ER_OK) {
        er_str text = er_json_str(er_json_path(doc.root, "metadata", "uid"));
        uid = text.n > 0 && text.n <= 64 ? er_str_dup(text) : NULL;
    }
    er_json_doc_fini(&doc);
    return uid;
}

/* GKE's metadata server; anywhere else nothing answers there, and 500 ms are all it costs. */
static char *name_from_metadata(er_cancel *cancel) {
    er_http_options options = {
        .user_agent = "eventrouter", .connect_timeout_ms = METADATA_LIMIT_MS, .cancel = cancel};
    er_http_client *client = NULL;
    char *name = NULL;
    if (er_http_client_new(&options, &client, NULL) == ER_OK) {
        er_buf text;
        er_buf_init(&text, NAME_MAX_BYTES);
        if (er_metadata_get(client, ER_METADATA_CLUSTER_NAME, METADATA_LIMIT_MS, &text, NULL) ==
                ER_OK &&
            er_buf_status(&text) == ER_OK) {
            name = er_str_dup(er_buf_str(&text));
        }
        er_buf_fini(&text);
        er_http_client_free(client);
    }
    return name;
}

/* True: it is this stream's turn to ask. False: another one found it, or we are to end. */
static bool take_turn(er_identity *identity, er_cancel *cancel, er_heart *heart) {
    er_lock(&identity->lock);
    while (identity->asking && !identity->found && !er_cancel_is_set(cancel)) {
        er_heart_beat(heart);
        (void)er_cond_wait_until(&identity->changed, &identity->lock, er_deadline_in(TURN_MS));
    }
    bool turn = !identity->found && !identity->asking && !er_cancel_is_set(cancel);
    identity->asking = identity->asking || turn;
    er_unlock(&identity->lock);
    return turn;
}

/* Ends the turn; id: what was found, owned, or NULL. */
static void end_turn(er_identity *identity, char *id, char *name) {
    er_lock(&identity->lock);
    identity->asking = false;
    if (id != NULL) {
        identity->id = id;
        identity->found = true;
    }
    if (name != NULL) {
        free(identity->name);
        identity->name = name;
    }
    er_cond_broadcast(&identity->changed);
    er_unlock(&identity->lock);
}

static char *hash_id(const er_identity *identity) {
    char *id = er_xcalloc(1, 65);
    er_kube_config_id(identity->kube, id);
    return id;
}

static char *find_name(const er_identity *identity, const char *id, er_cancel *cancel) {
    if (identity->name[0] != '\0') { /* set, and nobody changes it but in a turn */
        return NULL;
    }
    bool in_cluster = strcmp(er_kube_config_origin(identity->kube), "in-cluster") == 0;
    char *name = in_cluster ? name_from_metadata(cancel) : NULL;
    return name != NULL ? name : er_dup(id);
}

/* FORBIDDEN by the list: everything is, for now. By the second look: the right to read the id is
 * not given, which is the ordinary case. */
static er_kube_outcome ask(er_kube_client *client, const char *path, er_buf *body,
                           er_kube_answer *answer) {
    static const char kube_system[] = "/api/v1/namespaces/kube-system";
    er_kube_outcome outcome = er_kube_get(client, kube_system, body, answer);
    if (outcome != ER_KUBE_FORBIDDEN) {
        return outcome == ER_KUBE_REFUSED ? ER_KUBE_OK : outcome;
    }
    const er_kube_query all = {.path = path};
    er_kube_page page;
    er_kube_page_init(&page);
    outcome = er_kube_list(client, &all, 1, NULL, &page, answer);
    er_kube_page_fini(&page);
    if (outcome == ER_KUBE_OK) {
        outcome = er_kube_get(client, kube_system, body, answer);
        outcome = outcome == ER_KUBE_FORBIDDEN || outcome == ER_KUBE_REFUSED ? ER_KUBE_OK : outcome;
    }
    return outcome;
}

er_kube_outcome er_identity_find(er_identity *identity, er_kube_client *client, const char *path,
                                 er_cancel *cancel, er_heart *heart, er_kube_answer *answer) {
    if (!take_turn(identity, cancel, heart)) {
        return er_cancel_is_set(cancel) ? ER_KUBE_CANCELLED : ER_KUBE_OK;
    }
    er_buf body;
    er_buf_init(&body, 1u << 20);
    er_kube_outcome outcome = ask(client, path, &body, answer);
    char *id = outcome == ER_KUBE_OK ? uid_of(&body) : NULL;
    if (outcome == ER_KUBE_OK && id == NULL) {
        id = hash_id(identity);
    }
    char *name = id == NULL ? NULL : find_name(identity, id, cancel);
    end_turn(identity, id, name);
    if (id != NULL) {
        ER_LOG(ER_LOG_INFO, "watch", "the cluster is known", ER_LS("cluster", identity->name),
               ER_LS("clusterId", id), ER_LS("server", er_kube_config_server(identity->kube)));
    }
    er_buf_fini(&body);
    return outcome;
}
