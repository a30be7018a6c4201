"""Every message once, in order, whatever comes, is lost, and is caught up."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.subscribe.delivery import Delivery, Gap, GapReason


def taken(delivery: Delivery[int]) -> list[int | Gap]:
    found = list(delivery.ready)
    delivery.ready.clear()
    return found


def delivery_of(arrivals: Iterable[int], **settings: object) -> Delivery[int]:
    delivery: Delivery[int] = Delivery(**({"every_number": True} | settings))  # type: ignore[arg-type]
    for seq in arrivals:
        delivery.arrived(seq, seq)
    return delivery


def test_what_comes_in_order_is_ready_at_once() -> None:
    delivery = delivery_of([7, 8, 9])
    assert taken(delivery) == [7, 8, 9]
    assert delivery.needs is None
    delivery.announced(9)
    assert delivery.needs is None


def test_a_jump_is_held_until_it_is_explained() -> None:
    delivery = delivery_of([1, 4, 5])
    assert taken(delivery) == [1]
    assert delivery.needs == 1
    delivery.arrived(7, 7)
    delivery.caught_up(1, through=6, last_seq=7, messages=[(3, 3), (4, 4), (5, 5), (6, 6)])
    assert taken(delivery) == [3, 4, 5, 6, 7]
    assert delivery.needs is None


def test_a_loss_at_the_end_shows_by_the_heartbeat() -> None:
    delivery = delivery_of([1])
    delivery.announced(3)
    assert delivery.needs == 1
    delivery.caught_up(1, through=3, last_seq=3, messages=[(2, 2), (3, 3)])
    assert taken(delivery) == [1, 2, 3]


def test_a_resumed_one_asks_at_once() -> None:
    delivery = delivery_of([], since=41)
    assert delivery.needs == 41
    delivery.replayed(45, 45)
    delivery.arrived(50, 50)
    assert taken(delivery) == []
    delivery.caught_up(41, through=50, last_seq=50, messages=[(45, 45), (50, 50)])
    assert taken(delivery) == [45, 50]
    delivery.replayed(45, 45)
    assert taken(delivery) == []


def test_what_was_removed_is_a_gap_in_its_place() -> None:
    delivery = delivery_of([], since=10)
    delivery.caught_up(
        10,
        through=60,
        last_seq=60,
        messages=[(15, 15), (40, 40), (55, 55)],
        missing=[(11, 30), (50, 52)],
    )
    removed = GapReason.REMOVED
    assert taken(delivery) == [
        Gap(10, 15, removed),
        15,
        Gap(15, 31, removed),
        40,
        Gap(49, 53, removed),
        55,
    ]


def test_a_daemon_that_counts_anew_is_told_from_old_news() -> None:
    delivery = delivery_of([], since=90)
    delivery.caught_up(90, through=100, last_seq=100, messages=[(100, 100)])
    assert taken(delivery) == [100]
    delivery.announced(95)  # sent before the answer was
    assert delivery.needs == 100
    delivery.caught_up(100, through=100, last_seq=100, messages=[])
    assert delivery.needs is None
    delivery.announced(3)
    delivery.caught_up(100, through=3, last_seq=3, messages=[])
    assert taken(delivery) == [Gap(100, 1, GapReason.RESTARTED)]
    assert delivery.needs == 0
    delivery.caught_up(0, through=3, last_seq=3, messages=[(1, 1), (2, 2), (3, 3)])
    assert taken(delivery) == [1, 2, 3]


def test_without_answers_a_jump_on_all_topics_is_a_loss() -> None:
    delivery = delivery_of([1, 4])
    delivery.unanswered()
    delivery.arrived(5, 5)
    delivery.announced(7)
    delivery.arrived(9, 9)
    unanswered = GapReason.UNANSWERED
    assert taken(delivery) == [1, Gap(1, 4, unanswered), 4, 5, Gap(5, 9, unanswered), 9]
    assert delivery.needs == 9
    delivery.caught_up(9, through=10, last_seq=10, messages=[(10, 10)])
    assert taken(delivery) == [10]
    delivery.arrived(12, 12)
    assert taken(delivery) == []


def test_without_answers_on_some_topics_it_is_said_once_that_losses_go_unseen() -> None:
    delivery = delivery_of([1, 4], every_number=False)
    delivery.unanswered()
    for seq in (8, 11):
        delivery.arrived(seq, seq)
    assert taken(delivery) == [1, Gap(1, 4, GapReason.UNANSWERED), 4, 8, 11]


def test_replays_tell_how_things_stand_once() -> None:
    delivery = delivery_of([])
    delivery.replayed(3, 3)
    delivery.replayed(5, 5)
    delivery.arrived(8, 8)
    delivery.replayed(3, 3)
    delivery.replayed(8, 8)
    delivery.replayed(2, 2)  # of another who joined, on topics that nothing was replayed on
    assert taken(delivery) == [3, 5, 8, 2]
    assert delivery.needs is None


def test_what_is_held_is_bounded() -> None:
    delivery = delivery_of([1, *range(3, 100)], most_held=10)
    assert len(delivery._held) == 10
    delivery.caught_up(1, through=99, last_seq=99, messages=[(seq, seq) for seq in range(2, 100)])
    assert taken(delivery) == list(range(1, 100))


class Daemon:
    """What a daemon would send and answer."""

    def __init__(self, wanted: set[int], removed: int) -> None:
        self.last = 0
        self.wanted = wanted
        self.removed = removed

    def answer(self, delivery: Delivery[int], since: int, limit: int) -> None:
        first = max(since, self.removed) + 1
        found = [seq for seq in range(first, self.last + 1) if seq in self.wanted]
        through = found[limit] - 1 if len(found) > limit else self.last
        gone = min(self.removed, through)
        delivery.caught_up(
            since,
            through=through,
            last_seq=self.last,
            messages=[(seq, seq) for seq in found[:limit]],
            missing=[(since + 1, gone)] if gone > since else [],
        )


STEPS = st.lists(
    st.sampled_from(["live", "lost", "beat", "old beat", "again", "replay", "ask", "late answer"]),
    max_size=60,
)


@settings(max_examples=400)
@given(steps=STEPS, every=st.booleans(), data=st.data())
def test_any_interleaving_gives_each_once_in_order(  # noqa: PLR0912
    steps: list[str], every: bool, data: st.DataObject
) -> None:
    since = data.draw(st.none() | st.integers(0, 5))
    wanted = set(range(1, 200)) if every else data.draw(st.sets(st.integers(1, 80)))
    daemon = Daemon(wanted, removed=data.draw(st.integers(0, 6)))
    daemon.last = data.draw(st.integers(since or 0, 8))
    begin = daemon.last if since is None else since
    delivery: Delivery[int] = Delivery(
        since=since, every_number=every, most_held=data.draw(st.integers(1, 5))
    )
    if since is None:
        delivery.announced(begin)
    asked: list[int] = []
    for step in steps:
        match step:
            case "live" | "lost":
                daemon.last += 1
                if step == "live" and daemon.last in wanted:
                    delivery.arrived(daemon.last, daemon.last)
            case "beat":
                delivery.announced(daemon.last)
            case "old beat":
                delivery.announced(data.draw(st.integers(0, daemon.last)))
            case "again" | "replay":
                seq = data.draw(st.integers(begin + 1, max(begin + 1, daemon.last)))
                if seq in wanted and seq <= daemon.last:
                    (delivery.arrived if step == "again" else delivery.replayed)(seq, seq)
            case "ask":
                if (needs := delivery.needs) is not None:
                    asked.append(needs)
                    if data.draw(st.booleans()):
                        daemon.answer(delivery, needs, data.draw(st.integers(1, 3)))
            case "late answer":
                if asked:
                    daemon.answer(delivery, asked[-1], data.draw(st.integers(1, 3)))
    delivery.announced(daemon.last)
    while (needs := delivery.needs) is not None:
        daemon.answer(delivery, needs, 3)

    found = taken(delivery)
    messages = [item for item in found if isinstance(item, int)]
    assert messages == sorted(set(messages)), "out of order, or twice"
    missing = {
        seq for gap in found if isinstance(gap, Gap) for seq in range(gap.after + 1, gap.before)
    }
    expected = {seq for seq in range(begin + 1, daemon.last + 1) if seq in wanted}
    assert set(messages) | (missing & expected) == expected
    assert not set(messages) & missing, "missing, and there all the same"
    assert missing <= set(range(begin + 1, daemon.removed + 1)), "only what was removed"
