package eventlogtest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func appendTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"append_keeps_everything":          appendKeepsEverything,
		"append_keeps_no_reference":        appendKeepsNoReference,
		"append_positions_increase":        appendPositionsIncrease,
		"append_survives_reopen":           appendSurvivesReopen,
		"append_is_contiguous":             appendIsContiguous,
		"append_nothing":                   appendNothing,
		"append_too_large_stores_nothing":  appendTooLargeStoresNothing,
		"append_at_the_limits":             appendAtTheLimits,
		"append_cancelled_before":          appendCancelledBefore,
		"append_fingerprint":               appendFingerprint,
		"stamp_is_in_microseconds":         stampIsInMicroseconds,
		"stamp_does_not_follow_clock_back": stampDoesNotFollowClockBack,
	}
}

func appendKeepsEverything(b *bench) {
	full := eventlog.Record{
		Header: eventlog.Header{
			ID: idOf(1), Source: "src", WABAID: "1001\x00\xc3\xa9", WABASource: eventlog.WABALearned,
			Type: "a.b.c", BusinessPhone: "4917012345", Severity: eventlog.SeverityCritical,
			OccurTime: time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.UTC),
		},
		Payload: []byte("pay\x00load"), Raw: []byte("raw"), Horizon: 7 * 24 * time.Hour,
	}
	bare := eventlog.Record{Header: eventlog.Header{ID: idOf(2), Source: "s", Type: "t", Severity: eventlog.SeverityInfo}}
	early := record(3)
	early.OccurTime = time.Unix(0, 0).UTC()
	b.append(full, bare, early)
	for range 2 {
		got := b.readAll(eventlog.Query{Raw: true})
		require.Len(b, got, 3)
		for i, want := range []eventlog.Record{full, bare, early} {
			b.equalRecords(want, got[i].Record)
		}
		b.reopen()
	}
}

func appendKeepsNoReference(b *bench) {
	r := record(1)
	b.append(r)
	copy(r.Payload, "XXXXXXX")
	copy(r.Raw, "XXXXXXX")
	got := b.readAll(eventlog.Query{Raw: true})
	b.equalRecords(record(1), got[0].Record)
	copy(got[0].Payload, "XXXXXXX")
	copy(got[0].Raw, "XXXXXXX")
	b.equalRecords(record(1), b.readAll(eventlog.Query{Raw: true})[0].Record)
}

func appendPositionsIncrease(b *bench) {
	bounds, err := b.log.Bounds(b.Context())
	require.NoError(b, err)
	last := eventlog.Sequence(0)
	for n := range 20 {
		for _, a := range b.append(record(3*n), record(3*n+1), record(3*n+2)) {
			require.Equal(b, bounds.Head.Log, a.Position.Log)
			require.Greater(b, a.Position.Sequence, last)
			require.False(b, a.Duplicate)
			last = a.Position.Sequence
		}
	}
}

func appendSurvivesReopen(b *bench) {
	before := b.fill(records(0, 10)...)
	b.reopen()
	after := b.fill(records(10, 20)...)
	require.Equal(b, before[0].Log, after[0].Log, "the log id stays")
	require.Greater(b, after[0].Sequence, before[9].Sequence)
	got := b.readAll(eventlog.Query{})
	require.Len(b, got, 20)
	for i, p := range append(before, after...) {
		require.Equal(b, p, got[i].Position)
	}
}

// appendIsContiguous looks for records of one call that others stand between.
func appendIsContiguous(b *bench) {
	const writers, calls, size = 16, 20, 3
	g, ctx := errgroup.WithContext(b.Context())
	for w := range writers {
		g.Go(func() error {
			for c := range calls {
				first := (w*calls + c) * size
				if _, err := b.log.Append(ctx, records(first, first+size)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
	got := payloads(b.readAll(eventlog.Query{}))
	require.Len(b, got, writers*calls*size)
	for i := 0; i < len(got); i += size {
		var first int
		_, err := fmt.Sscanf(got[i], "payload %d", &first)
		require.NoError(b, err)
		require.Zero(b, first%size)
		for j := range size {
			require.Equal(b, fmt.Sprintf("payload %d", first+j), got[i+j])
		}
	}
}

func appendNothing(b *bench) {
	require.Empty(b, b.append())
	require.Empty(b, b.readAll(eventlog.Query{}))
}

func appendTooLargeStoresNothing(b *bench) {
	text := strings.Repeat("x", eventlog.MaxTextBytes+1)
	bad := map[string]func(*eventlog.Record){
		"payload":     func(r *eventlog.Record) { r.Payload = make([]byte, eventlog.MaxRecordBytes+1) },
		"payload+raw": func(r *eventlog.Record) { r.Payload = make([]byte, eventlog.MaxRecordBytes) },
		"source":      func(r *eventlog.Record) { r.Source = text },
		"waba":        func(r *eventlog.Record) { r.WABAID = text },
		"type":        func(r *eventlog.Record) { r.Type = text },
		"phone":       func(r *eventlog.Record) { r.BusinessPhone = text },
	}
	for name, spoil := range bad {
		call := records(0, 3)
		spoil(&call[1])
		_, err := b.log.Append(b.Context(), call)
		require.ErrorIs(b, err, eventlog.ErrTooLarge, name)
	}
	_, err := b.log.Append(b.Context(), records(0, eventlog.MaxAppendRecords+1))
	require.ErrorIs(b, err, eventlog.ErrTooLarge, "records")
	heavy := records(0, 9)
	for i := range heavy {
		heavy[i].Payload = make([]byte, eventlog.MaxAppendBytes/9+1)
	}
	_, err = b.log.Append(b.Context(), heavy)
	require.ErrorIs(b, err, eventlog.ErrTooLarge, "bytes")
	require.Empty(b, b.readAll(eventlog.Query{}))
}

func appendAtTheLimits(b *bench) {
	text := strings.Repeat("x", eventlog.MaxTextBytes)
	r := record(0)
	r.Source, r.WABAID, r.Type, r.BusinessPhone = text, text, text, text
	r.Payload, r.Raw = make([]byte, eventlog.MaxRecordBytes-5), []byte("12345")
	b.append(r)
	b.equalRecords(r, b.readAll(eventlog.Query{Raw: true})[0].Record)
	b.append(records(1, 1+eventlog.MaxAppendRecords)...)
	heavy := records(10_000, 10_016)
	for i := range heavy {
		heavy[i].Payload, heavy[i].Raw = make([]byte, 1<<20), nil
	}
	b.append(heavy...)
	require.Len(b, b.readAll(eventlog.Query{}), 1+eventlog.MaxAppendRecords+16)
}

func appendCancelledBefore(b *bench) {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	_, err := b.log.Append(ctx, records(0, 1))
	require.ErrorIs(b, err, context.Canceled)
	b.append(record(0)) // whether stored or not, appending again is safe
	require.Len(b, b.readAll(eventlog.Query{}), 1)
}

func appendFingerprint(b *bench) {
	b.fill(records(0, 5)...)
	for _, e := range b.readAll(eventlog.Query{}) {
		require.Equal(b, eventlog.FingerprintOf(e.ID, e.AppendTime), e.Position.Fingerprint)
	}
}

func stampIsInMicroseconds(b *bench) {
	at := b.clock.add(1234567 * time.Nanosecond)
	b.append(record(0))
	got := b.readAll(eventlog.Query{})[0].AppendTime
	require.Equal(b, at.Truncate(time.Microsecond), got)
}

func stampDoesNotFollowClockBack(b *bench) {
	top := b.clock.now()
	b.append(record(0))
	b.clock.add(-time.Hour)
	b.append(record(1))
	b.reopen()
	b.append(record(2))
	b.clock.add(time.Hour + time.Second)
	b.append(record(3))
	var stamps []time.Time
	for _, e := range b.readAll(eventlog.Query{}) {
		stamps = append(stamps, e.AppendTime)
	}
	require.Equal(b, []time.Time{top, top, top, top.Add(time.Second)}, stamps)
}
