"""The tables of a store that gateways share, and the statements that keep the rules of who may change what."""

from __future__ import annotations

from typing import Final

TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS gateways (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, until TIMESTAMPTZ NOT NULL, ended BOOLEAN NOT NULL DEFAULT FALSE);
CREATE TABLE IF NOT EXISTS duties (name TEXT PRIMARY KEY, gateway BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS lanes (
  session BYTEA NOT NULL, lane INTEGER NOT NULL, voucher BYTEA, voucher_signature BYTEA, receipt BYTEA,
  receipt_signature BYTEA, retired INTEGER NOT NULL DEFAULT 0, claimed NUMERIC(39) NOT NULL DEFAULT 0,
  lane_total NUMERIC(39) NOT NULL DEFAULT 0, lane_end NUMERIC(39) NOT NULL DEFAULT 0, gateway BIGINT,
  PRIMARY KEY (session, lane), CHECK (lane_total <= lane_end));
CREATE INDEX IF NOT EXISTS lanes_in_flight ON lanes (gateway) WHERE gateway IS NOT NULL;
CREATE INDEX IF NOT EXISTS lanes_owing ON lanes (session) WHERE lane_end > claimed;
CREATE TABLE IF NOT EXISTS receipts (
  session BYTEA NOT NULL, lane INTEGER NOT NULL, seq BIGINT NOT NULL, at BIGINT NOT NULL, statement BYTEA NOT NULL,
  signature BYTEA NOT NULL, PRIMARY KEY (session, lane, seq));
CREATE TABLE IF NOT EXISTS answers (
  session BYTEA NOT NULL, key BYTEA NOT NULL, body BYTEA NOT NULL, at BIGINT NOT NULL, status INTEGER NOT NULL,
  content_type TEXT NOT NULL, answer BYTEA, receipt BYTEA NOT NULL, receipt_signature BYTEA NOT NULL,
  PRIMARY KEY (session, key));
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (at);
CREATE TABLE IF NOT EXISTS running (
  session BYTEA NOT NULL, key BYTEA NOT NULL, body BYTEA NOT NULL, gateway BIGINT NOT NULL, PRIMARY KEY (session, key));
CREATE TABLE IF NOT EXISTS closings (session BYTEA PRIMARY KEY);
CREATE TABLE IF NOT EXISTS used (
  subscription BIGINT NOT NULL, period BIGINT NOT NULL, unit INTEGER NOT NULL, quantity NUMERIC(39) NOT NULL,
  PRIMARY KEY (subscription, period, unit));
CREATE TABLE IF NOT EXISTS aside (
  gateway BIGINT NOT NULL, subscription BIGINT NOT NULL, period BIGINT NOT NULL, unit INTEGER NOT NULL,
  quantity NUMERIC(39) NOT NULL, PRIMARY KEY (subscription, period, unit, gateway));
CREATE TABLE IF NOT EXISTS orders (
  payer BYTEA NOT NULL, nonce BYTEA NOT NULL, statement BYTEA NOT NULL, signature BYTEA NOT NULL,
  until BIGINT NOT NULL, state TEXT NOT NULL, amount TEXT NOT NULL, at BIGINT NOT NULL, taker BYTEA NOT NULL,
  PRIMARY KEY (payer, nonce));
CREATE INDEX IF NOT EXISTS orders_owed ON orders (state) WHERE state = 'owed';
CREATE TABLE IF NOT EXISTS offers (
  request BYTEA NOT NULL, service BIGINT NOT NULL, book BIGINT NOT NULL, max_charge NUMERIC(39) NOT NULL,
  until BIGINT NOT NULL, PRIMARY KEY (request, service, book));
"""

SWEEP: Final = (
    "UPDATE gateways SET ended = TRUE WHERE NOT ended AND until < clock_timestamp()",
    "UPDATE lanes SET retired = 1, gateway = NULL, lane_end = lane_total "
    "WHERE gateway IN (SELECT id FROM gateways WHERE ended)",
    "DELETE FROM running WHERE gateway IN (SELECT id FROM gateways WHERE ended)",
    "DELETE FROM aside WHERE gateway IN (SELECT id FROM gateways WHERE ended)",
)
SURELY: Final = ("SET LOCAL synchronous_commit TO on", ())
LANE: Final = (
    "SELECT lane, voucher, voucher_signature, receipt, receipt_signature, retired, claimed, lane_end, gateway "
    "FROM lanes WHERE session = %s"
)
KEEP: Final = (
    "INSERT INTO lanes AS old (session, lane, voucher, voucher_signature, retired, lane_total, lane_end, gateway) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (session, lane) DO UPDATE SET voucher = excluded.voucher, "
    "voucher_signature = excluded.voucher_signature, retired = GREATEST(old.retired, excluded.retired), "
    "lane_total = excluded.lane_total, lane_end = excluded.lane_end, gateway = COALESCE(excluded.gateway, old.gateway)"
)
RECEIPT: Final = (
    "WITH mine AS (UPDATE lanes SET receipt = ?, receipt_signature = ?, lane_total = ?, lane_end = ?, gateway = NULL "
    "WHERE session = ? AND lane = ? AND gateway = ? RETURNING session, lane) "
    "INSERT INTO receipts SELECT session, lane, ?::bigint, ?::bigint, ?::bytea, ?::bytea FROM mine"
)
USED: Final = (
    "WITH held AS (SELECT * FROM used WHERE subscription = ? AND period = ? AND unit = ? FOR UPDATE), "
    "mine AS (UPDATE aside SET quantity = aside.quantity - ? FROM held WHERE aside.subscription = held.subscription "
    "AND aside.period = held.period AND aside.unit = held.unit AND aside.gateway = ? RETURNING aside.subscription, "
    "aside.period, aside.unit) "
    "UPDATE used SET quantity = used.quantity + ? FROM mine WHERE used.subscription = mine.subscription "
    "AND used.period = mine.period AND used.unit = mine.unit"
)
