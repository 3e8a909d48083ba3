package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func lifeTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"wait_returns_at_once": waitReturnsAtOnce,
		"wait_wakes":           waitWakes,
		"wait_ends_with_ctx":   waitEndsWithContext,
		"wait_misses_nothing":  waitMissesNothing,
		"close_wakes_waiters":  closeWakesWaiters,
		"close_is_idempotent":  closeIsIdempotent,
		"close_under_load":     closeUnderLoad,
		"use_after_close":      useAfterClose,
		"failed_stays_open":    failedStaysOpen,
		"visible_means_found":  visibleMeansFound,
	}
}

func waitReturnsAtOnce(b *bench) {
	at := b.fill(records(0, 2)...)
	require.NoError(b, b.log.Wait(b.Context(), 0))
	require.NoError(b, b.log.Wait(b.Context(), at[0].Sequence))
}

func waitWakes(b *bench) {
	at := b.fill(record(0))[0]
	g, ctx := errgroup.WithContext(b.Context())
	for range 10 {
		g.Go(func() error { return b.log.Wait(ctx, at.Sequence) })
	}
	b.append(record(1))
	require.NoError(b, g.Wait())
}

func waitEndsWithContext(b *bench) {
	ctx, cancel := context.WithCancel(b.Context())
	g := new(errgroup.Group)
	g.Go(func() error { return b.log.Wait(ctx, 0) })
	cancel()
	require.ErrorIs(b, g.Wait(), context.Canceled)
}

// waitMissesNothing has readers that only Read and Wait follow concurrent
// writers: each must see every record exactly once, and none may sleep on.
func waitMissesNothing(b *bench) {
	const writers, calls, followers = 8, 60, 6
	g, ctx := errgroup.WithContext(b.Context())
	for range followers {
		g.Go(func() error { return follow(ctx, b.log, writers*calls) })
	}
	for w := range writers {
		g.Go(func() error {
			for c := range calls {
				if _, err := b.log.Append(ctx, records(w*calls+c, w*calls+c+1)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
}

func follow(ctx context.Context, log eventlog.Log, want int) error {
	seen := make(map[string]bool)
	after := eventlog.Sequence(0)
	for len(seen) < want {
		if err := log.Wait(ctx, after); err != nil {
			return err
		}
		page, err := log.Read(ctx, eventlog.Query{After: after, Limit: 5})
		if err != nil {
			return err
		}
		if len(page.Entries) == 0 {
			return fmt.Errorf("woken after %d, but nothing is there", after)
		}
		for _, e := range page.Entries {
			if seen[string(e.Payload)] {
				return fmt.Errorf("%s seen twice", e.Payload)
			}
			seen[string(e.Payload)] = true
		}
		after = page.Scanned.Sequence
	}
	return nil
}

func closeWakesWaiters(b *bench) {
	g := new(errgroup.Group)
	for range 5 {
		g.Go(func() error { return b.log.Wait(context.Background(), 0) })
	}
	require.NoError(b, b.log.Close())
	require.ErrorIs(b, g.Wait(), eventlog.ErrClosed)
}

func closeIsIdempotent(b *bench) {
	g := new(errgroup.Group)
	for range 5 {
		g.Go(b.log.Close)
	}
	require.NoError(b, g.Wait())
	require.NoError(b, b.log.Close())
}

// closeUnderLoad closes while everything is going on. Whatever was acknowledged
// must be there afterwards; everything else ends with ErrClosed.
func closeUnderLoad(b *bench) {
	const writers = 8
	acknowledged := make([]int, writers)
	started := make(chan struct{}, writers)
	g := new(errgroup.Group)
	for w := range writers {
		g.Go(func() error {
			for n := 0; ; n++ {
				_, err := b.log.Append(context.Background(), records(w*1_000_000+n, w*1_000_000+n+1))
				if errors.Is(err, eventlog.ErrClosed) {
					return nil
				}
				if err != nil {
					return err
				}
				acknowledged[w]++
				if n == 20 {
					started <- struct{}{}
				}
			}
		})
	}
	g.Go(func() error {
		for {
			if _, err := collect(context.Background(), b.log, eventlog.Query{Limit: 3}); err != nil {
				return onlyClosed(err)
			}
		}
	})
	for range writers {
		<-started
	}
	require.NoError(b, b.log.Close())
	require.NoError(b, g.Wait())
	b.reopen()
	stored := make(map[string]bool)
	for _, e := range b.readAll(eventlog.Query{}) {
		stored[string(e.Payload)] = true
	}
	for w, n := range acknowledged {
		for i := range n {
			require.True(b, stored[string(record(w*1_000_000+i).Payload)])
		}
	}
}

func onlyClosed(err error) error {
	if errors.Is(err, eventlog.ErrClosed) {
		return nil
	}
	return err
}

func useAfterClose(b *bench) {
	at := b.fill(record(0))[0]
	require.NoError(b, b.log.Close())
	ctx := b.Context()
	calls := map[string]func() error{
		"Append": func() error { _, err := b.log.Append(ctx, records(1, 2)); return err },
		"Read":   func() error { _, err := b.log.Read(ctx, eventlog.Query{}); return err },
		"Check":  func() error { return b.log.Check(ctx, at) },
		"Lookup": func() error { _, err := b.log.Lookup(ctx, idOf(0)); return err },
		"Seek":   func() error { _, err := b.log.Seek(ctx, time.Time{}); return err },
		"Seek future": func() error {
			_, err := b.log.Seek(ctx, b.clock.now().Add(time.Hour))
			return err
		},
		"Bounds":      func() error { _, err := b.log.Bounds(ctx); return err },
		"Stats":       func() error { _, err := b.log.Stats(ctx); return err },
		"Wait":        func() error { return b.log.Wait(ctx, 0) },
		"Trim":        func() error { return b.log.Trim(ctx, at.Sequence) },
		"TrimType":    func() error { return b.log.TrimType(ctx, "a", at.Sequence) },
		"MeasureType": func() error { _, err := b.log.MeasureType(ctx, "a", 0, 0); return err },
	}
	for name, call := range calls {
		require.ErrorIs(b, call(), eventlog.ErrClosed, name)
	}
	require.NoError(b, b.log.Err())
}

func failedStaysOpen(b *bench) {
	b.append(record(0))
	require.NoError(b, b.log.Close())
	select {
	case <-b.log.Failed():
		b.Fatal("a log that was closed has not failed")
	default:
	}
}

// visibleMeansFound: a record seen by any way of reading is found by all.
func visibleMeansFound(b *bench) {
	g, ctx := errgroup.WithContext(b.Context())
	const n = 200
	g.Go(func() error {
		for i := range n {
			if _, err := b.log.Append(ctx, records(i, i+1)); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		for i := range n {
			if err := awaitLookup(ctx, b.log, i); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(b, g.Wait())
}

// awaitLookup polls for a record by id; once found it lies within the bounds.
func awaitLookup(ctx context.Context, log eventlog.Log, n int) error {
	for {
		e, err := log.Lookup(ctx, idOf(n))
		if errors.Is(err, eventlog.ErrNotFound) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		bounds, err := log.Bounds(ctx)
		if err != nil {
			return err
		}
		if bounds.Head.Sequence < e.Position.Sequence {
			return fmt.Errorf("record %d is found, but the head is %d", e.Position.Sequence, bounds.Head.Sequence)
		}
		return log.Check(ctx, e.Position)
	}
}
