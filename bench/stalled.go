package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	allRead    = "all read"
	oneStalled = "one does not read"
	// stalledRate is the rate at which latencies are measured: low enough for two
	// cores to send a thousand subscribers each event by itself.
	stalledRate = 50
	// stalledSample is which part of the others' latencies are taken: one in so many
	// subscribers.
	stalledSample = 10
	// leastBehind is what a stalled subscriber must lack to count as one.
	leastBehind = 100
)

// stalledReport is what runStalled finds.
type stalledReport struct {
	throughput, p50, p99    *table
	behind, caughtUp, speed *finding
	resumed                 *sheet
}

func (b *bench) stalledSubscribers() int {
	if b.quick {
		return 20
	}
	return 1000
}

func (b *bench) newStalledReport() *stalledReport {
	about := fmt.Sprintf("stalled: %d subscribers that read, and one more, ", b.stalledSubscribers()-1)
	newTable := func(what, unit string) *table {
		t := newTable(about+what, unit, allRead, []string{allRead, oneStalled})
		t.subject = oneStalled
		return t
	}
	paced := fmt.Sprintf("from append to receipt at %d events/s", stalledRate)
	r := &stalledReport{
		throughput: newTable("as fast as they take", "deliveries/s to those that read"),
		p50:        newTable(paced, "p50 ms").lessIsBetter(),
		p99:        newTable(paced, "p99 ms").lessIsBetter(),
		resumed:    &sheet{title: "stalled: the one, once it reads again"},
	}
	r.behind = r.resumed.find("it lacks", "events")
	r.caughtUp = r.resumed.find("it has all of them, in order, after", "ms")
	r.speed = r.resumed.find("which it receives at", "events/s")
	return r
}

func (b *bench) stalledDurations() (warm, measured time.Duration) {
	if b.quick {
		return 100 * time.Millisecond, 400 * time.Millisecond
	}
	return 500 * time.Millisecond, 4 * time.Second
}

func (b *bench) aboutStalled() time.Duration {
	const starting = 3 * time.Second
	warm, measured := b.stalledDurations()
	return time.Duration(b.rounds) * 2 * (starting + 2*(warm+measured))
}

// runStalled measures what others notice of a subscriber that stops reading, and
// whether that one, once it reads again, receives everything.
func (b *bench) runStalled(ctx context.Context) ([]result, error) {
	c, err := findStreamContender(ours)
	if err != nil {
		return nil, err
	}
	r := b.newStalledReport()
	modes := []string{allRead, oneStalled}
	name := func(mode string) string { return mode }
	err = takeTurns(ctx, b, "stalled", modes, name, func(mode string) error {
		s := &stall{bench: b, report: r, mode: mode}
		to := audience{subscribers: b.stalledSubscribers(), perConnection: 1, heartbeat: quiet, prepare: s.prepare}
		return b.withSession(ctx, c, to, s.run)
	})
	return []result{r.throughput, r.p50, r.p99, r.resumed}, err
}

// stall is one turn. The first subscriber is the one that may stop reading.
type stall struct {
	*bench
	report *stalledReport
	mode   string

	gate    sync.Mutex // locked while the first does not read
	timed   atomic.Bool
	latency [][]float64 // milliseconds, a slice for each receiver that takes them
}

func (s *stall) prepare(r *receiver) {
	switch {
	case r.index == 0:
		r.gate = &s.gate
	case r.index%stalledSample == 1:
		mine := len(s.latency)
		s.latency = append(s.latency, nil)
		r.observe = func(event []byte) {
			if s.timed.Load() {
				s.latency[mine] = append(s.latency[mine], s.sinceAppend(r, event))
			}
		}
	}
}

// sinceAppend compares the server's clock with this process's: they are the same.
func (s *stall) sinceAppend(r *receiver, event []byte) float64 {
	const fieldReceiveTime = 14
	at, err := timeIn(event, fieldReceiveTime)
	if err != nil {
		r.fail(err)
	}
	return micros(time.Since(at)) / 1e3
}

func (s *stall) run(ctx context.Context, session *session) error {
	if s.mode == oneStalled {
		s.gate.Lock()
	}
	published, err := s.measure(ctx, session)
	if s.mode == allRead {
		return err
	}
	behind := published - session.receivers[0].received.Load()
	s.gate.Unlock()
	if err != nil {
		return err
	}
	return s.catchUp(ctx, session, published, behind)
}

// measure tells how many events were published.
func (s *stall) measure(ctx context.Context, session *session) (published uint64, err error) {
	fast, err := s.throughput(ctx, session)
	if err != nil {
		return 0, err
	}
	paced, err := s.latencies(ctx, session)
	return fast + paced, err
}

func others(s *session) *publication {
	p := s.toAll()
	p.takers = s.receivers[1:]
	return p
}

func (s *stall) throughput(ctx context.Context, session *session) (published uint64, err error) {
	warm, measured := s.stalledDurations()
	p := others(session)
	return p.run(ctx, func(ctx context.Context) error {
		u, err := session.measure(ctx, warm, measured, p.takers)
		s.report.throughput.addUsage(s.mode, u.deliveries, u)
		return err
	})
}

func (s *stall) latencies(ctx context.Context, session *session) (published uint64, err error) {
	warm, measured := s.stalledDurations()
	p := others(session)
	p.rate = stalledRate
	published, err = p.run(ctx, func(ctx context.Context) error {
		if err := wait(ctx, warm, session.failed); err != nil {
			return err
		}
		s.timed.Store(true)
		return wait(ctx, measured, session.failed)
	})
	if err != nil {
		return published, err
	}
	s.timed.Store(false) // the one that catches up is not among those timed
	var all []float64
	for _, some := range s.latency {
		all = append(all, some...)
	}
	if len(all) == 0 {
		return published, errors.New("nothing was received in the time measured")
	}
	s.report.p50.add(s.mode, percentile(all, 50))
	s.report.p99.add(s.mode, percentile(all, 99))
	return published, nil
}

// catchUp waits until the first, which reads again, has everything.
func (s *stall) catchUp(ctx context.Context, session *session, published, behind uint64) error {
	if behind < leastBehind {
		return fmt.Errorf("the subscriber that did not read lacks only %d events: too few were published", behind)
	}
	start := time.Now()
	p := session.toAll()
	p.takers, p.before = session.receivers[:1], []uint64{0}
	if err := p.settle(ctx, published); err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	took := time.Since(start)
	s.report.behind.add(float64(behind))
	s.report.caughtUp.add(micros(took) / 1e3)
	s.report.speed.add(float64(behind) / took.Seconds())
	return nil
}
