package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	loadConnections = 64
	answerPatience  = 30 * time.Second
)

// callbackLoad posts callbacks to a server over connections that stay open.
type callbackLoad struct {
	addr      string
	callbacks *callbacks
	// rate is how many are posted a second over all connections together; zero is
	// the next one as soon as the last is answered.
	rate    float64
	answers *answers
}

// run posts until the context ends, and waits for the answers. An answer that does
// not come is counted and its connection dialled anew; only a server that cannot
// be reached any more is an error.
func (l *callbackLoad) run(ctx context.Context) error {
	posters, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for i := range loadConnections {
		posters.Go(func() error { return l.post(ctx, newPace(start, l.rate, i, loadConnections)) })
	}
	return posters.Wait()
}

func (l *callbackLoad) post(ctx context.Context, p *pace) error {
	for {
		if err := l.postUntilLost(ctx, p); ctx.Err() != nil || err != nil {
			return unless(ctx, err)
		}
	}
}

// postUntilLost posts over one connection, until it is lost or the context ends.
func (l *callbackLoad) postUntilLost(ctx context.Context, p *pace) error {
	connection, err := dialPoster(ctx, l.addr, l.callbacks)
	if err != nil {
		return err
	}
	defer connection.close() // everything on it was answered, or counted as lost
	for {
		due, ok := p.wait(ctx)
		if !ok {
			return nil
		}
		if err := connection.conn.SetDeadline(time.Now().Add(answerPatience)); err != nil {
			return err
		}
		status, lost := connection.exchange()
		l.answers.add(status, time.Since(due))
		if lost != nil {
			return nil
		}
	}
}

// unless is the error, or nil if the context has ended and may be its cause.
func unless(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// pace spreads the posts of one connection evenly over time, and those of all
// connections between each other. What is late is posted at once, and counts from
// when it was due: a server that stalls does not get away with one slow answer.
type pace struct {
	interval time.Duration // zero posts without a pause
	next     time.Time
	timer    *time.Timer
}

func newPace(start time.Time, rate float64, connection, connections int) *pace {
	p := &pace{next: start, timer: time.NewTimer(0)}
	if rate > 0 {
		p.interval = time.Duration(float64(connections) / rate * float64(time.Second))
		p.next = start.Add(p.interval * time.Duration(connection) / time.Duration(connections))
	}
	return p
}

// wait returns when the next post was due, or false if the context ended.
func (p *pace) wait(ctx context.Context) (due time.Time, ok bool) {
	if p.interval == 0 {
		return time.Now(), ctx.Err() == nil
	}
	due = p.next
	p.next = due.Add(p.interval)
	p.timer.Reset(time.Until(due))
	select {
	case <-p.timer.C:
		return due, ctx.Err() == nil
	case <-ctx.Done():
		p.timer.Stop()
		return due, false
	}
}

// answers gathers what comes back. It is safe for concurrent use.
type answers struct {
	mu       sync.Mutex // guards fields below it
	accepted uint64
	since    period
}

// period is what came back in a part of the time.
type period struct {
	millis  []float64 // each took that was answered 200
	refused int       // answered, but not 200
	lost    int       // not answered
}

// percentile is that of the answers, in milliseconds. If there was none in the
// period, they take at least as long as it was.
func (p period) percentile(percent float64, length time.Duration) float64 {
	if len(p.millis) == 0 {
		return micros(length) / 1e3
	}
	return percentile(p.millis, percent)
}

// add counts one answer; status zero is none.
func (a *answers) add(status int, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch status {
	case http.StatusOK:
		a.accepted++
		a.since.millis = append(a.since.millis, micros(took)/1e3)
	case 0:
		a.since.lost++
	default:
		a.since.refused++
	}
}

// take returns what came back since it was last called.
func (a *answers) take() period {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.since
	a.since = period{millis: make([]float64, 0, len(p.millis))}
	return p
}

// total is how many callbacks were answered 200.
func (a *answers) total() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted
}
