package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readiness is what health checks answer.
type readiness struct {
	onChange func(ready bool)

	mu      sync.Mutex // guards fields below it
	serving bool
	cause   error // why not, although it serves
}

var errNotServing = errors.New("the server is starting or ending")

// serve says that the server serves, or that it does not any more.
func (r *readiness) serve(serving bool) {
	r.change(func() { r.serving = serving })
}

// concern says what keeps a server that serves from doing its work; nil is nothing. It
// returns what did before.
func (r *readiness) concern(cause error) (before error) {
	r.change(func() { before, r.cause = r.cause, cause })
	return before
}

func (r *readiness) change(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.errLocked() == nil
	do()
	if now := r.errLocked() == nil; now != before {
		r.onChange(now)
	}
}

// err is nil if the server is ready, and else says why it is not.
func (r *readiness) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errLocked()
}

func (r *readiness) errLocked() error {
	if !r.serving {
		return errNotServing
	}
	return r.cause
}

// replicated is a log that is kept by other servers.
type replicated interface {
	// Reachable is nil while they answer.
	Reachable() error
	// Disagreements counts what shows that another replica has another log.
	Disagreements() uint64
}

// lookEvery is how often a replica looks whether its log can be reached.
const lookEvery = time.Second

// watchReplicas has a replica that is cut off from its log say that it is not ready, so
// that balancers send callbacks and subscribers elsewhere.
func (a *App) watchReplicas() {
	log, ok := a.log.(replicated)
	if !ok {
		return
	}
	a.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "wabastream_log_disagreements_total",
		Help: "Messages of the stream whose writers had made another log of it than this replica. Always 0, or a replica is to be filled anew.",
	}, func() float64 { return float64(log.Disagreements()) }))
	a.inBackground("stop watching the log", func(ctx context.Context) {
		again := time.NewTicker(lookEvery)
		defer again.Stop()
		for {
			a.ready.look(log, a.logger)
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (r *readiness) look(log replicated, logger *slog.Logger) {
	err := log.Reachable()
	before := r.concern(err)
	switch {
	case err != nil && before == nil:
		logger.Error("not ready until the log answers", "error", err)
	case err == nil && before != nil:
		logger.Info("the log answers again")
	}
}
