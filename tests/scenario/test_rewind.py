"""The API server's store is restored to an older version: found, said, and everything is listed again."""
import pytest

from conftest import events, gaps, keys, point, wait_point

WENT_BACK = "the API server's store went back to an older version"


def begun(fake, keeping, hook, **more):
    """A router that has settled ten Events, of which the first five outlive `rewind half`."""
    fake.script("burst 5 prefix old")
    half = int(fake.state()["version"])
    fake.script("burst 5 prefix new")
    one = keeping(sinks={"a": hook("a")}, **more)
    fake.wait("sink a accepted >= 10")
    fake.wait("watches open >= 1")
    wait_point(keeping.directory, mark="resume", version=str(fake.state()["version"]))
    return one, half


def check(fake, directory_point, before, recovered, listed=None):
    """The newest gap record tells of the rewind; the store's point is of the new time."""
    gap = gaps(fake.records("a"))[-1]
    assert (gap["cause"], gap["fromResourceVersion"], gap["toResourceVersion"], gap["recovered"]) == (
        "rewound", before["version"], listed or str(fake.state()["version"]), recovered), gap
    assert gap["fromTime"] >= before["watchedUntil"]
    assert directory_point["mark"] == "resume"
    assert directory_point["version"] == str(fake.state()["version"])


def test_while_it_runs(fake, keeping, hook):
    one, half = begun(fake, keeping, hook)
    before = point(keeping.directory)
    fake.script(f"rewind {half}\nput after")
    fake.wait("sink a accepted >= 17")  # 5 old, 1 after, the gap record
    keeping.stop()
    assert one.logged(WENT_BACK)
    again = events(fake.records("a"))[10:]
    assert sorted(keys(again)) == sorted(fake.versions()[:5] + fake.versions()[10:])
    assert len(gaps(fake.records("a"))) == 1
    check(fake, point(keeping.directory), before, len([r for r in again if r.get("recovered")]))


def test_while_it_is_stopped(fake, keeping, hook):
    begun(fake, keeping, hook)
    half = int(fake.versions()[4][1])
    keeping.stop()
    before = point(keeping.directory)
    fake.script(f"rewind {half}\nput after")
    two = keeping(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}})
    fake.wait("sink a accepted >= 17")
    fake.script("put later")
    fake.wait("sink a accepted >= 18")
    keeping.stop()
    assert two.logged(WENT_BACK)
    again = keys(fake.records("a"))[10:]
    assert sorted(again[:6]) == sorted(fake.versions()[:5] + fake.versions()[10:11])
    assert again[6:] == fake.versions()[11:]
    check(fake, point(keeping.directory), before, 6, str(half + 1))


@pytest.mark.parametrize("moment", ["listed", "not listed"])
def test_killed_before_the_list_is_settled(fake, keeping, hook, moment):
    """By then the store may have overtaken the version that was stored: the mark still tells."""
    one, half = begun(fake, keeping, hook)
    before = point(keeping.directory)
    fake.script("sink a hang")
    if moment == "not listed":
        fake.script("fault list always hang")
    fake.script(f"rewind {half}\nput after")
    one.wait_log("listed" if moment == "listed" else WENT_BACK)
    mark = wait_point(keeping.directory, mark="list", gapCause="rewound", gapFrom=before["version"])
    assert mark["watchedUntil"] >= before["watchedUntil"]
    one.kill()
    fake.script("sink a clear\nclear\nburst 50 prefix overtaken")
    assert int(fake.state()["version"]) > int(before["version"])
    keeping(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}})
    fake.wait("sink a accepted >= 67")
    keeping.stop()
    again = keys(fake.records("a"))[10:]
    assert sorted(again) == sorted(fake.versions()[:5] + fake.versions()[10:])
    assert len(gaps(fake.records("a"))) == 1
    check(fake, point(keeping.directory), before, 56)


def test_a_second_one_before_the_first_is_told(fake, keeping, hook):
    """What is told after a kill begins where the first one's gap began."""
    one, half = begun(fake, keeping, hook)
    before = point(keeping.directory)
    fake.script(f"sink a hang\nrewind {half}\nput after")
    one.wait_log("listed", version=str(half + 1))
    fake.wait("watches open >= 1")
    fake.script(f"rewind {half - 2}")
    one.wait_log("listed", version=str(half - 2))
    wait_point(keeping.directory, mark="list", gapFrom=before["version"],
               watchedUntil=point(keeping.directory)["watchedUntil"])
    one.kill()
    fake.script("sink a clear")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 14")
    keeping.stop()
    assert sorted(keys(fake.records("a"))[10:]) == sorted(fake.versions()[:3])
    assert len(gaps(fake.records("a"))) == 1
    check(fake, point(keeping.directory), before, 3)


def test_what_was_not_settled_is_in_the_gap(fake, keeping, hook):
    """Versions that were in flight, and that the store has lost, do not come again after a kill."""
    one, half = begun(fake, keeping, hook)
    before = point(keeping.directory)
    fake.script("sink a hang\nburst 3 prefix flight")
    one.wait_metric(lambda v: v >= 3, "watch_unsettled_frames")
    fake.script(f"rewind {half}")
    one.wait_log("listed", version=str(half))
    wait_point(keeping.directory, mark="list", gapFrom=before["version"])
    one.kill()
    fake.script("sink a clear")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 16")
    keeping.stop()
    assert sorted(keys(fake.records("a"))[10:]) == sorted(fake.versions()[:5])
    check(fake, point(keeping.directory), before, 5)


def test_with_short_watches(fake, keeping, hook):
    short = {"timeout": "1s", "idleTimeout": "1500ms"}
    _, half = begun(fake, keeping, hook, watch=short)
    before = fake.state()["version"]
    fake.wait("watches opened >= 3")
    fake.script(f"rewind {half}\nput after")
    fake.wait("sink a accepted >= 17")
    fake.wait("watches opened >= 6")
    keeping.stop()
    [gap] = gaps(fake.records("a"))
    assert (gap["cause"], gap["fromResourceVersion"]) == ("rewound", str(before))
    assert sorted(keys(fake.records("a"))[10:]) == sorted(fake.versions()[:5] + fake.versions()[10:])


def test_each_namespace_finds_it(fake, keeping, hook):
    names = {"namespaces": ["one", "two"]}
    fake.script("put one-1 namespace=one\nput two-1 namespace=two")
    half = int(fake.state()["version"])
    fake.script("put one-2 namespace=one\nput two-2 namespace=two")
    keeping(sinks={"a": hook("a")}, kubernetes=names)
    fake.wait("sink a accepted >= 4")
    fake.wait("watches open >= 2")
    fake.script(f"rewind {half}")
    fake.wait("sink a accepted >= 8")  # one Event and one gap record each
    keeping.stop()
    assert sorted(gap["stream"] for gap in gaps(fake.records("a"))) == ["events/one", "events/two"]
    assert len({r["id"] for r in fake.records("a") if r["kind"] == "gap"}) == 2
    assert sorted(keys(fake.records("a"))[4:]) == sorted(fake.versions()[:2])
