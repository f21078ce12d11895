"""What the record of one stored version of an Event must say, made from the API's own object."""
import datetime

SKIPPED = ("observedTime", "countDelta")  # judged elsewhere


def micros(text):
    """RFC 3339 as microseconds since 1970."""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) \
        // datetime.timedelta(microseconds=1)


def total(event):
    return (event.get("series") or {}).get("count") or event.get("count") or 1


def filled(**members):
    """Without what is empty: that is how records leave things out."""
    return {key: value for key, value in members.items() if value not in (None, "", {})}


def reference(ref):
    keys = ("apiVersion", "kind", "namespace", "name", "uid", "resourceVersion", "fieldPath")
    return filled(**{key: (ref or {}).get(key) for key in keys})


def expected(event, cluster):
    """The record, with times in microseconds."""
    meta, source = event["metadata"], event.get("source") or {}
    times = {"series.lastObservedTime": (event.get("series") or {}).get("lastObservedTime"),
             "lastTimestamp": event.get("lastTimestamp"), "eventTime": event.get("eventTime"),
             "firstTimestamp": event.get("firstTimestamp")}
    times = {name: micros(text) for name, text in times.items() if text}
    created = micros(meta["creationTimestamp"])
    time_source = next(iter(times), "creationTimestamp")
    first = times.get("firstTimestamp", times.get("eventTime", created))
    return {
        "schema": "eventrouter.io/v1", "kind": "event", "cluster": cluster,
        "id": f"{meta['uid']}-{meta['resourceVersion']}",
        "time": times.get(time_source, created), "timeSource": time_source,
        "severity": "INFO" if event["type"] == "Normal" else "WARNING",
        "type": event["type"], "reason": event.get("reason", ""),
        "message": event.get("message", ""),
        "count": total(event),
        "event": {key: meta[key] for key in ("name", "uid", "resourceVersion")},
        **filled(namespace=meta.get("namespace"), object=reference(event["involvedObject"]),
                 related=reference(event.get("related")), action=event.get("action"),
                 firstTime=first, lastTime=times.get(time_source),
                 source=filled(component=event.get("reportingComponent") or source.get("component"),
                               host=source.get("host"),
                               instance=event.get("reportingInstance"))),
    }


def comparable(record):
    """A record as it came, in the form of expected()."""
    times = ("time", "firstTime", "lastTime")
    return {key: micros(value) if key in times else value
            for key, value in record.items() if key not in SKIPPED}


def deltas(versions):
    """The countDelta of each version, or None where a record must have none.

    versions: (frame type, Event), with LISTED for what the first list showed."""
    known = {}
    for kind, event in versions:
        uid, now = event["metadata"]["uid"], total(event)
        if uid in known:
            yield max(0, now - known[uid])
        else:
            yield 1 if kind == "ADDED" and now == 1 else None
        known[uid] = now
