#include "app/notices.h"

#include "record/event.h"

#include <stdlib.h>
#include <string.h>

struct er_notices {
    er_flow *flow;
    er_delivery *const *deliveries;
    size_t n;
    er_identity *identity;
    er_route_scratch *scratch;
    er_time since;
    uint64_t (*told)[ER_REASON_MAX_]; /* by sink and reason, up to the last window */
    er_counter *made, *lost;
};

er_notices *er_notices_new(er_flow *flow, er_delivery *const *deliveries, size_t n,
                           er_identity *identity, er_metrics *metrics) {
    er_notices *notices = er_xcalloc(1, sizeof *notices);
    notices->flow = flow;
    notices->deliveries = deliveries;
    notices->n = n;
    notices->identity = identity;
    notices->scratch = er_pattern_scratch_new();
    notices->since = er_time_now();
    notices->told = er_xcalloc(n, sizeof *notices->told);
    notices->made = er_metrics_counter(metrics, "notices_total", "Notices made.", NULL);
    notices->lost = er_metrics_counter(metrics, "notices_lost_total",
                                       "Notices for which a queue had no room.", NULL);
    return notices;
}

void er_notices_free(er_notices *notices) {
    if (notices != NULL) {
        er_pattern_scratch_free(notices->scratch);
        free(notices->told);
        free(notices);
    }
}

static void tell(er_notices *notices, size_t sink, er_reason reason, uint64_t records,
                 er_time until) {
    const char *cluster;
    const char *cluster_id;
    if (!er_identity_get(notices->identity, &cluster, &cluster_id)) {
        return; /* nothing was received yet, so nothing can have been lost */
    }
    er_notice_part part = {
        .sink = er_str_of(er_delivery_name(notices->deliveries[sink])),
        .cause = er_str_of(er_reason_name(reason)),
        .records = (int64_t)records,
        .since = notices->since,
        .until = until,
    };
    er_draft draft;
    er_draft_notice(&part, er_str_of(cluster_id), until, &draft);
    draft.rec.cluster = er_str_of(cluster);
    er_record *rec = er_record_seal(&draft.rec);
    if (rec != NULL) {
        er_counter_inc(notices->made);
        er_counter_add(notices->lost, er_flow_notice(notices->flow, rec, sink, notices->scratch));
        er_record_unref(rec);
    }
}

void er_notices_tick(er_notices *notices) {
    er_time until = er_time_now();
    for (size_t sink = 0; sink < notices->n; sink++) {
        er_ledger ledger;
        er_delivery_ledger(notices->deliveries[sink], &ledger);
        for (size_t r = 0; r < ER_REASON_MAX_; r++) {
            uint64_t lost = ledger.rejected_by[r] + ledger.dropped_by[r] - ledger.notices_by[r];
            if (lost > notices->told[sink][r]) {
                tell(notices, sink, (er_reason)r, lost - notices->told[sink][r], until);
                notices->told[sink][r] = lost;
            }
        }
    }
    notices->since = until;
}
