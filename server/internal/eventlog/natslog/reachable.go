package natslog

import (
	"fmt"
	"sync"
	"time"
)

// unreachableAfter is for how long the stream may be silent: the reader asks it every
// watchEvery, and an election is over sooner.
const unreachableAfter = 10 * time.Second

// pulse is when the stream was heard of last.
type pulse struct {
	mu   sync.Mutex
	last time.Time // of the machine's own clock, as it must not jump
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

func (p *pulse) silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.last)
}

// Reachable is nil while the stream's leader answers this replica, or has until some
// seconds ago, and else says for how long it has not: appends and whatever asks for the
// head end with eventlog.ErrUnavailable then, and nothing comes from other replicas.
func (l *Log) Reachable() error {
	if silence := l.pulse.silence(); silence > unreachableAfter {
		return fmt.Errorf("stream %s of NATS has not answered for %v", l.opts.Stream, silence.Round(time.Second))
	}
	return nil
}
