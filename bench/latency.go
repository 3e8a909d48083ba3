package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// latencySetting is a rate and an audience, with tables for what is found.
type latencySetting struct {
	rate        float64
	subscribers int
	p50, p99    *table
}

func (b *bench) latencySettings() []latencySetting {
	var settings []latencySetting
	for _, rate := range []float64{100, 5000} {
		for _, subscribers := range b.audiences(1, 10) {
			title := fmt.Sprintf("latency: from POST to receipt at %.0f callbacks/s, %d subscribers", rate, subscribers)
			if !b.wants(title) {
				continue
			}
			p50, p99 := latencyGoals(rate, subscribers)
			names := b.latencyNames()
			settings = append(settings, latencySetting{
				rate, subscribers,
				newTable(title, "p50 ms", jetStreamFront, names).lessIsBetter().wants(p50),
				newTable(title, "p99 ms", jetStreamFront, names).lessIsBetter().wants(p99),
			})
		}
	}
	return settings
}

func (b *bench) latencyDurations() (warm, measured time.Duration) {
	if b.quick {
		return 100 * time.Millisecond, 500 * time.Millisecond
	}
	return time.Second, 5 * time.Second
}

func (b *bench) aboutLatency() time.Duration {
	const starting = time.Second
	warm, measured := b.latencyDurations()
	return time.Duration(b.rounds*len(b.latencySettings())*len(b.latencyNames()))*(warm+measured+starting) + 10*time.Second
}

// runLatency measures how long it takes from when a callback is due to be posted
// until a subscriber has its event. The server runs in a process of its own, also
// the front that is on JetStream.
func (b *bench) runLatency(ctx context.Context) ([]result, error) {
	paths, err := b.latencyPaths(ctx)
	if err != nil {
		return nil, err
	}
	var tables []result
	for _, setting := range b.latencySettings() {
		name := func(p callbackPath) string { return p.name }
		err := takeTurns(ctx, b, setting.p50.title, paths, name, func(p callbackPath) error {
			millis, err := b.latency(ctx, p, setting)
			if err != nil {
				return err
			}
			setting.p50.add(p.name, percentile(millis, 50))
			setting.p99.add(p.name, percentile(millis, 99))
			return nil
		})
		if err != nil {
			return nil, err
		}
		tables = append(tables, setting.p50, setting.p99)
	}
	return tables, nil
}

// latency is one turn. It returns how long each receipt took, in milliseconds.
func (b *bench) latency(ctx context.Context, path callbackPath, setting latencySetting) (millis []float64, err error) {
	err = path.serve(ctx, func(posts, streams string) error {
		t := &trips{bench: b, path: path, posts: posts, rate: setting.rate}
		millis, err = t.run(ctx, streams, setting.subscribers)
		return err
	})
	return millis, err
}

// trips are those of callbacks to subscribers, in one turn.
type trips struct {
	*bench
	path  callbackPath
	posts string // where callbacks are posted to
	rate  float64

	due      *stamps
	accepted atomic.Uint64
	from     time.Time   // what is due earlier is not measured
	took     [][]float64 // milliseconds, by receiver
}

func (t *trips) run(ctx context.Context, streams string, subscribers int) (millis []float64, err error) {
	warm, measured := t.latencyDurations()
	const room = 2 // a callback that is numbered later than its turn still has its place
	start := time.Now()
	t.due = newStamps(start, t.callbacks.made.Load()+1, int((warm+measured).Seconds()*t.rate)*room+loadConnections)
	t.took = make([][]float64, subscribers)
	to := audience{subscribers: subscribers, perConnection: 1, heartbeat: quiet, prepare: t.prepare}
	err = subscribed(ctx, streams, t.path.dial, to, func(ctx context.Context, s *session) error {
		t.from = time.Now().Add(warm)
		if err := t.post(ctx, t.from.Add(measured)); err != nil {
			return err
		}
		accepted := t.accepted.Load()
		p := &publication{session: s, takers: s.receivers, before: make([]uint64, subscribers)}
		return p.settle(ctx, accepted)
	})
	for _, some := range t.took {
		millis = append(millis, some...)
	}
	if err == nil && len(millis) == 0 {
		err = errors.New("nothing was received in the time measured")
	}
	return millis, err
}

// prepare makes a receiver note how long each callback took.
func (t *trips) prepare(r *receiver) {
	r.observe = func(event []byte) {
		n, err := t.path.numberOf(event)
		if err != nil {
			r.fail(err)
			return
		}
		if took, measured := t.due.since(n, t.from, time.Now()); measured {
			t.took[r.index] = append(t.took[r.index], micros(took)/1e3)
		}
	}
}

// post posts at the rate until a time, over connections that take turns as they
// are free, and waits for the answers.
func (t *trips) post(ctx context.Context, until time.Time) error {
	posters, ctx := errgroup.WithContext(ctx)
	due := make(chan time.Time, int(t.rate)) // a second behind, which the latencies show
	for range loadConnections {
		posters.Go(func() error { return t.postDue(ctx, due) })
	}
	posters.Go(func() error {
		defer close(due)
		beat(t.rate, func(at time.Time) bool {
			select {
			case due <- at:
				return at.Before(until)
			case <-ctx.Done():
				return false
			}
		})
		return nil
	})
	return posters.Wait()
}

func (t *trips) postDue(ctx context.Context, due <-chan time.Time) (err error) {
	p, err := dialPoster(ctx, t.posts, &t.callbacks)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for at := range due {
		n := t.callbacks.made.Add(1)
		t.due.set(n, at)
		status, err := p.exchangeNth(n)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("post: answered %d, want 200", status)
		}
		if err != nil {
			return err
		}
		t.accepted.Add(1)
	}
	return nil
}
