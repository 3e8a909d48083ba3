package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// settleTimeout is how long takers have to receive what was published.
	settleTimeout = time.Minute
	// lookInterval is how often it is looked how far takers have come.
	lookInterval = time.Millisecond
)

// publication is a time in which events are published to a session, and what of
// them was received.
type publication struct {
	*session
	rotation rotation
	// rate is how many are published a second; zero as fast as the takers receive.
	rate float64
	// takers are the subscribers whose backlog is bounded and that must have
	// received everything in the end. Without any the broker is the only bound.
	takers []*receiver

	first  uint64   // event published
	before []uint64 // what each taker had received until then
}

// toAll publishes to all subscribers.
func (s *session) toAll() *publication {
	return &publication{session: s, rotation: rotation{Accounts: uint64(s.subscribers)}, takers: s.receivers}
}

// run begins the publication, calls use, ends it, and waits until every taker has
// received every event that was for it. It tells how many were published. After an
// error the session can only be ended, which ends the publication: the broker may
// be waiting for a subscriber that has failed.
func (p *publication) run(ctx context.Context, use func(context.Context) error) (published uint64, err error) {
	if err := p.begin(); err != nil {
		return 0, err
	}
	stop := p.extendInBackground()
	err = use(ctx)
	if err = errors.Join(err, stop()); err != nil {
		return 0, err
	}
	state, err := p.remote.ask(remoteOrder{Do: orderEnd})
	if err != nil {
		return 0, err
	}
	published = state.Published - p.first
	if published == 0 {
		return 0, errors.New("nothing was published in the time measured")
	}
	return published, p.settle(ctx, published)
}

func (p *publication) begin() error {
	state, err := p.remote.ask(remoteOrder{Do: orderUsage})
	if err != nil {
		return err
	}
	p.first = state.Published
	for _, r := range p.takers {
		p.before = append(p.before, r.received.Load())
	}
	upTo := p.first + p.window()
	if len(p.takers) == 0 {
		upTo = unlimited
	}
	_, err = p.remote.ask(remoteOrder{Do: orderPublish, Rotation: p.rotation, Rate: p.rate, UpTo: upTo})
	return err
}

// window is how many events may be published that not all takers have received:
// enough for the fastest broker to find a backlog, and little enough for the
// memory of one that keeps it for each subscriber.
func (a audience) window() uint64 {
	const oneTaker, broadcast, copies = 1 << 16, 1 << 14, 1 << 22
	if a.oneTaker {
		return oneTaker
	}
	return min(copies/uint64(a.subscribers), broadcast)
}

// extendInBackground lets the broker publish on as takers receive, until the
// function returned is called.
func (p *publication) extendInBackground() (stop func() error) {
	if p.rate > 0 || len(p.takers) == 0 {
		return func() error { return nil }
	}
	stopping, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- p.extend(stopping) }()
	return func() error {
		close(stopping)
		return <-stopped
	}
}

func (p *publication) extend(stopping <-chan struct{}) error {
	ticks := time.NewTicker(lookInterval)
	defer ticks.Stop()
	for allowed := p.first + p.window(); ; {
		select {
		case <-ticks.C:
		case <-stopping:
			return nil
		}
		upTo := p.first + p.passed() + p.window()
		if upTo < allowed+p.window()/8 {
			continue
		}
		if err := p.remote.tell(remoteOrder{Do: orderAllow, UpTo: upTo}); err != nil {
			return err
		}
		allowed = upTo
	}
}

// passed is up to where, from the first event on, no taker lacks any. It bounds
// how old what a taker lacks may be, and not only how much that is.
func (p *publication) passed() uint64 {
	fewest := p.since(0)
	for i := range p.takers {
		fewest = min(fewest, p.since(i))
	}
	if p.oneTaker {
		return fewest * p.rotation.Accounts
	}
	return fewest
}

// since is what the ith taker has received since the publication began.
func (p *publication) since(i int) uint64 { return p.takers[i].received.Load() - p.before[i] }

// expected is how many of the events published are for a receiver.
func (p *publication) expected(r *receiver, published uint64) uint64 {
	if !p.oneTaker {
		return published
	}
	turn := r.index - p.rotation.First // huge for those before the first
	if turn >= p.rotation.Accounts {
		return 0
	}
	return turns(p.first+published, turn, p.rotation.Accounts) - turns(p.first, turn, p.rotation.Accounts)
}

// turns is how often one of some accounts had its turn before the nth event.
func turns(n, turn, accounts uint64) uint64 {
	if n%accounts > turn {
		return n/accounts + 1
	}
	return n / accounts
}

// settle waits until the takers have received all that was published for them.
func (p *publication) settle(ctx context.Context, published uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, errors.New("not everything that was published was received"))
	defer cancel()
	for i, r := range p.takers {
		want := p.expected(r, published)
		for got := p.since(i); got != want; got = p.since(i) {
			if got > want {
				return fmt.Errorf("subscriber %d received %d events of %d", r.index, got, want)
			}
			if err := wait(ctx, lookInterval, p.failed); err != nil {
				return fmt.Errorf("subscriber %d received %d events of %d: %w", r.index, got, want, errors.Join(err, context.Cause(ctx)))
			}
		}
	}
	return nil
}

// usage is what one part of a publication cost.
type usage struct {
	took       time.Duration
	delivered  uint64
	published  uint64
	serverCPU  time.Duration
	clientCPU  time.Duration
	deliveries float64 // a second
}

// measure lets the session warm up, and then measures what goes on in it.
func (s *session) measure(ctx context.Context, warm, measured time.Duration, of []*receiver) (u usage, err error) {
	if err := wait(ctx, warm, s.failed); err != nil {
		return u, err
	}
	before, err := s.remote.ask(remoteOrder{Do: orderUsage})
	if err != nil {
		return u, err
	}
	start, own, count := time.Now(), cpuTime(), totalReceived(of)
	if err := wait(ctx, measured, s.failed); err != nil {
		return u, err
	}
	u.took, u.clientCPU, u.delivered = time.Since(start), cpuTime()-own, totalReceived(of)-count
	after, err := s.remote.ask(remoteOrder{Do: orderUsage})
	if err != nil {
		return u, err
	}
	u.serverCPU, u.published = after.CPU-before.CPU, after.Published-before.Published
	u.deliveries = float64(u.delivered) / u.took.Seconds()
	return u, nil
}

func totalReceived(of []*receiver) (all uint64) {
	for _, r := range of {
		all += r.received.Load()
	}
	return all
}
