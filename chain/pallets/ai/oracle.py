"""Oracle: what the token costs in currencies, as the validators say, so that prices in money can be paid in tokens.

Each feed is an ISO 4217 number. Validators (or the account each of them names) report the price of 1 AIT once a window.

    median      of a window's reports by voting weight, if they come from a quorum of it
    clamp       a window moves the price by the feed's largest move at most; if the next window's median lies beyond
                it on the same side again, that one counts in full
    age         a price counts from one whole window after its own: everybody has seen it before anybody is charged
    staleness   a price that is too old is none: nothing new can be priced in that currency

So at time t the price of window floor(t / window) - 2 counts, or the last before it. A ring keeps the last windows, so
that receipts can be judged by the price of their time.

Source: payments paper, section 5.1; feeders with a bond of their own and reports of outliers are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from aitoken.codec.hints import TypeName, u8, u16, u32, u64, u128
from aitoken.codec.records import Record, record
from aitoken.pay.book import SCALE_MAX, Price
from aitoken.types import AIT, AccountId, BlockNumber, Moment
from chain.frame.calls import PostInfo, call
from chain.frame.origin import Origin, ensure_root, ensure_signed
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet, constant, runtime_api
from chain.frame.storage import TWOX_64_CONCAT, OptionMap, Value, storage_map, value
from chain.frame.types import DispatchClass, Pays

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.historical import Member

FEEDS_MAX: Final = 16
RING: Final = 2880
"""Windows whose price is kept: a day of windows of 30 seconds."""
FRESHNESS_MS: Final = 60_000
"""By how much an observation may differ from the time of the block."""
STALE_WINDOWS_MAX: Final = 60
"""The oldest price that may count is this many windows old; bounds the search in the ring."""
PRICE_ONE: Final = 10**12
"""Prices are in units of 10^-12 of the currency for 1 AIT."""
BAND_BPS: Final = 200
"""How far above the highest price of its time a receipt's rate may lie."""
BPS: Final = 10_000
U128_MAX: Final = 2**128 - 1

FeedId = Annotated[int, u16, TypeName("FeedId")]
Window = Annotated[int, u64, TypeName("Window")]
AitPrice = Annotated[int, u128, TypeName("Price")]


@record("pallet_oracle::Feed")
class Feed(Record):
    """How a feed is made: quorum and largest move in hundredths of a percent, and when a price is too old."""

    quorum: u16
    max_move: u16
    stale_after: Moment


@record("pallet_oracle::Report")
class Report(Record):
    """What a validator said in the window that runs."""

    validator: AccountId
    price: AitPrice


@record("pallet_oracle::Reports")
class Reports(Record):
    """The reports of a window."""

    window: Window
    reports: Annotated[list[Report], TypeName("Vec<Report>")]


@record("pallet_oracle::Point")
class Point(Record):
    """The price of a window: who much of the voting weight stood behind it, and on which side of the clamp it lay.

    `at` is when the window was closed; `beyond` is 0 within the clamp, 1 above it, 2 below it.
    """

    window: Window
    price: AitPrice
    at: Moment
    weight: u16
    beyond: u8


@record("pallet_oracle::Rate")
class Rate(Record):
    """What a currency costs now: base units of the token for one whole of it, and since when that is known."""

    rate: u128
    since: Moment


@dataclass(frozen=True, slots=True)
class OracleGenesis:
    """What the oracle starts with: feeds, and who reports for which validator."""

    feeds: tuple[tuple[int, Feed], ...] = ()
    feeders: tuple[tuple[AccountId, AccountId], ...] = ()


class Clock(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class SessionIndex(Protocol):
    """Which session of validators runs."""

    def get(self) -> int:
        """Its number."""


class ValidatorSets(Protocol):
    """Who validates with which weight; the Historical pallet."""

    def members_of(self, session: int) -> Sequence[Member]:
        """The validators of a session."""


def normal_price(price: Price) -> int | None:
    """Return a price in units of 10^-12, rounded down; None where that is 0 or does not fit."""
    if price.scale > SCALE_MAX:
        return None
    found = price.mantissa * PRICE_ONE // 10**price.scale
    return found if 0 < found <= U128_MAX else None


def rate_of(price: int) -> int:
    """Return the base units of one whole of a currency in which 1 AIT has this price."""
    return AIT * PRICE_ONE // price


def median(reports: Sequence[tuple[int, int]]) -> int:
    """Return the lowest price with half of the weight at or below it; `reports` are (price, weight)."""
    total, below = sum(each for _, each in reports), 0
    for price, each in sorted(reports):
        below += each
        if below * 2 >= total:
            return price
    return 0


def is_possible(settings: Feed, window_ms: int) -> bool:
    """Whether a feed's settings are within their bounds."""
    age_max = STALE_WINDOWS_MAX * window_ms
    return settings.quorum <= BPS and settings.max_move <= BPS and 0 < settings.stale_after <= age_max


class Oracle(Pallet, index=40, crate="pallet_oracle"):
    """What the token costs in currencies, as the validators say."""

    feeds: OptionMap[FeedId, Feed] = storage_map(TWOX_64_CONCAT, doc="The feeds, by ISO 4217 number.")
    feed_ids: Value[list[FeedId]] = value(doc="The numbers of all feeds.")
    running: OptionMap[FeedId, Reports] = storage_map(TWOX_64_CONCAT, doc="The reports of the window that runs.")
    last: OptionMap[FeedId, Point] = storage_map(TWOX_64_CONCAT, doc="The latest price; it does not count yet.")
    history: OptionMap[tuple[FeedId, u16], Point] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="A ring of the latest prices: window modulo its length."
    )
    feeders: OptionMap[AccountId, AccountId] = storage_map(
        TWOX_64_CONCAT, doc="The account that reports for a validator."
    )
    feeder_of: OptionMap[AccountId, AccountId] = storage_map(
        TWOX_64_CONCAT, doc="The validator an account reports for."
    )

    window_ms: Moment = constant(lambda env: env.params.oracle_window_ms, name="Window", doc="Length of a window.")
    freshness: Moment = constant(FRESHNESS_MS, doc="By how much an observation may differ from the time of the block.")
    ring: u32 = constant(RING, name="HistoryLength", doc="How many windows are kept.")
    band: u16 = constant(BAND_BPS, doc="How far above the oracle's a rate may lie, in hundredths of a percent.")

    class Event(Events):
        """What Oracle tells."""

        class FeedSet(Ev, index=0):
            """A feed was made or changed, or removed."""

            feed: FeedId
            settings: Annotated[Feed | None, TypeName("Option<Feed>")]

        class FeederSet(Ev, index=1):
            """A validator named the account that reports for it, or none any more."""

            validator: AccountId
            feeder: AccountId | None

        class Reported(Ev, index=2):
            """A validator reported the price of 1 AIT in units of 10^-12 of the currency."""

            feed: FeedId
            validator: AccountId
            price: AitPrice

        class PriceUpdated(Ev, index=3):
            """A window has its price; it counts one window later."""

            feed: FeedId
            window: Window
            price: AitPrice

        class QuorumMissing(Ev, index=4):
            """The reports of a window had too little voting weight, in hundredths of a percent; it has no price."""

            feed: FeedId
            window: Window
            weight: u16

    class Error(Errors):
        """How Oracle fails."""

        class NoFeed(Err, index=0):
            """There is no such feed."""

        class NotFeeder(Err, index=1):
            """This account reports for no validator of the present session."""

        class Stale(Err, index=2):
            """The observation is too old or in the future."""

        class AlreadySubmitted(Err, index=3):
            """This validator has reported in this window."""

        class BadPrice(Err, index=4):
            """The price is zero, too large, or has too many digits."""

        class FeederTaken(Err, index=5):
            """This account reports for another validator."""

        class TooMany(Err, index=6):
            """There are as many feeds as there can be."""

        class BadSettings(Err, index=7):
            """Quorum, move or age are out of their bounds."""

    def __init__(self, machine: Machine, clock: Clock, session: SessionIndex, sets: ValidatorSets) -> None:
        super().__init__(machine)
        self._clock = clock
        self._session = session
        self._sets = sets

    # --------------------------------------------------------------------------------------------- calls

    @call(0, dispatch_class=DispatchClass.Operational)
    def submit(self, origin: Origin, feed: FeedId, price: Price, observed_at: Moment) -> PostInfo:
        """Report what 1 AIT costs, once a window for each validator; costs nothing if it counts."""
        who = ensure_signed(origin)
        validator = self.feeder_of.get(who) or who
        if not self.feeds.contains(feed):
            raise self.Error.NoFeed
        if not any(member.validator == validator for member in self._members()):
            raise self.Error.NotFeeder
        now = self._clock.current_time()
        if abs(now - observed_at) > FRESHNESS_MS:
            raise self.Error.Stale
        normal = normal_price(price)
        if normal is None:
            raise self.Error.BadPrice
        self._close(feed, now)
        found = self.running.get(feed)
        reports = [] if found is None else found.reports
        if any(report.validator == validator for report in reports):
            raise self.Error.AlreadySubmitted
        self.running.put(feed, Reports(now // self.window_ms, [*reports, Report(validator, normal)]))
        self.emit(self.Event.Reported(feed, validator, normal))
        return PostInfo(pays=Pays.No)

    @call(1)
    def set_feed(
        self, origin: Origin, feed: FeedId, settings: Annotated[Feed | None, TypeName("Option<Feed>")]
    ) -> None:
        """Make or change a feed, or with None remove it; root only."""
        ensure_root(origin)
        self._set_feed(feed, settings)

    @call(2)
    def set_feeder(self, origin: Origin, feeder: AccountId | None) -> None:
        """Name the account that reports for this validator beside itself, in place of another."""
        validator = ensure_signed(origin)
        if not any(member.validator == validator for member in self._members()):
            raise self.Error.NotFeeder
        self._set_feeder(validator, feeder)

    # --------------------------------------------------------------------------------------------- windows

    def on_finalize(self, number: BlockNumber) -> None:  # noqa: ARG002 - time decides
        """Close windows that are over."""
        now = self._clock.current_time()
        for feed in self.feed_ids.get():
            self._close(feed, now)

    def _close(self, feed: int, now: Moment) -> None:
        """Make the price of the window that was running, if that is over."""
        found, settings = self.running.get(feed), self.feeds.get(feed)
        if found is None or settings is None or now // self.window_ms <= found.window:
            return
        self.running.remove(feed)
        members = self._members()
        weights = {member.validator: member.weight for member in members}
        rows = [(report.price, weights[report.validator]) for report in found.reports if report.validator in weights]
        share = sum(each for _, each in rows) * BPS // max(1, sum(weights.values()))
        if not rows or share < settings.quorum:
            self.emit(self.Event.QuorumMissing(feed, found.window, share))
            return
        price, beyond = self._clamped(feed, median(rows), settings, now)
        point = Point(found.window, price, now, share, beyond)
        self.last.put(feed, point)
        self.history.put((feed, found.window % RING), point)
        self.emit(self.Event.PriceUpdated(feed, found.window, price))

    def _clamped(self, feed: int, price: int, settings: Feed, now: Moment) -> tuple[int, int]:
        before = self.last.get(feed)
        if before is None or now - before.at > settings.stale_after:
            return price, 0
        move = before.price * settings.max_move // BPS
        high, low = before.price + move, before.price - move
        if low <= price <= high:
            return price, 0
        beyond = 1 if price > high else 2
        if before.beyond == beyond:
            return price, 0
        return (high if beyond == 1 else max(low, 1)), beyond

    def _members(self) -> Sequence[Member]:
        return self._sets.members_of(self._session.get())

    def _set_feed(self, feed: int, settings: Feed | None) -> None:
        ids = self.feed_ids.get()
        if settings is None:
            if feed not in ids:
                raise self.Error.NoFeed
            self.feeds.remove(feed)
            self.running.remove(feed)
            self.feed_ids.put([each for each in ids if each != feed])
        else:
            if not is_possible(settings, self.window_ms):
                raise self.Error.BadSettings
            if feed not in ids and len(ids) >= FEEDS_MAX:
                raise self.Error.TooMany
            self.feeds.put(feed, settings)
            self.feed_ids.put(sorted({feed, *ids}))
        self.emit(self.Event.FeedSet(feed, settings))

    def _set_feeder(self, validator: AccountId, feeder: AccountId | None) -> None:
        if feeder is not None and self.feeder_of.get(feeder) not in (None, validator):
            raise self.Error.FeederTaken
        old = self.feeders.take(validator)
        if old is not None:
            self.feeder_of.remove(old)
        if feeder is not None:
            self.feeders.put(validator, feeder)
            self.feeder_of.put(feeder, validator)
        self.emit(self.Event.FeederSet(validator, feeder))

    # --------------------------------------------------------------------------------------------- reading

    def point_at(self, feed: int, time: Moment) -> Point | None:
        """Return the price that counts at a time, None where there is none that is fresh."""
        settings = self.feeds.get(feed)
        if settings is None:
            return None
        newest = time // self.window_ms - 2
        oldest = max(0, newest - STALE_WINDOWS_MAX - 1)
        for window in range(newest, oldest - 1, -1):
            point = self.history.get((feed, window % RING))
            if point is not None and point.window == window and point.at + self.window_ms <= time:
                return point if time - point.at <= settings.stale_after else None
        return None

    def rate(self, currency: int) -> int | None:
        """Return the base units of the token for one whole of a currency, None where nobody knows it now."""
        point = self.point_at(currency, self._clock.current_time())
        return None if point is None else rate_of(point.price)

    def highest_rate(self, currency: int, since: Moment, until: Moment) -> int | None:
        """Return the highest rate that may have been used in a time of at most a few windows, None where unknown."""
        window = self.window_ms
        times = range(max(0, since - window), until + window + 1, window)
        points = [point for time in times if (point := self.point_at(currency, Moment(time))) is not None]
        if not points:
            return None
        return rate_of(min(point.price for point in points)) * (BPS + BAND_BPS) // BPS

    @runtime_api("OracleApi", 1)
    def current_rate(self, currency: u16) -> Rate | None:
        """Return what a currency costs in the next block, None where no fresh price counts."""
        point = self.point_at(currency, self._clock.current_time())
        return None if point is None else Rate(rate_of(point.price), Moment(point.at + self.window_ms))

    # --------------------------------------------------------------------------------------------- genesis

    def start(self, genesis: OracleGenesis) -> None:
        """Set the feeds of genesis and who reports for whom."""
        for feed, settings in genesis.feeds:
            self._set_feed(feed, settings)
        for validator, feeder in genesis.feeders:
            self._set_feeder(validator, feeder)
