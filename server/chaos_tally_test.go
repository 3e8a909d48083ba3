package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wabastream/wabastream/server/internal/guarantees"
)

// tally is how much happened: guarantees that hold while nothing does prove
// nothing.
type tally struct {
	mu     sync.Mutex     // guards fields below it
	counts map[string]int // by what happened, or by guarantee what was checked
	// delays is how old events were when they came to live readers, by reader.
	delays map[string][]time.Duration
}

func newTally() *tally {
	return &tally{counts: make(map[string]int), delays: make(map[string][]time.Duration)}
}

// wanted is the least of each that a round has to have, on average.
func wanted() map[string]int {
	return map[string]int{
		"kills": 1, "orderly stops": 1, "cuts": 8, "stalls": 5, "trims": 1,
		"events": 80, "posts in vain": 1, "streams": 50, "gaps": 1, "expired cursors": 1,
		"ordered": 1000, "unique": 1000, "complete": 1000, "resumable": 20, "progressing": 4,
		"filtered": 100, "durable": 1000, "deliverable": 80,
	}
}

// count counts what happened in a round.
func (c *chaos) count(h *guarantees.History) *tally {
	y := newTally()
	y.counts["rounds"] = 1
	y.counts["kills"], y.counts["orderly stops"], y.counts["trims"] = c.kills, c.stops, len(h.Trims)
	y.counts["events"], y.counts["streams"] = len(h.Log), len(h.Streams)
	for _, l := range c.links {
		stalls, cuts := l.troubles()
		y.counts["stalls"] += len(stalls)
		y.counts["cuts"] += cuts
	}
	for _, p := range c.producers {
		y.counts["posts in vain"] += p.retries
	}
	for i := range h.Streams {
		y.countStream(&h.Streams[i])
	}
	return y
}

func (y *tally) countStream(s *guarantees.Stream) {
	if s.End.Reason == "CURSOR_EXPIRED" {
		y.counts["expired cursors"]++
	}
	reader, _, _ := strings.Cut(s.Name, "/")
	live := false
	for i := range s.Frames {
		switch f := &s.Frames[i]; f.Kind {
		case guarantees.KindGap:
			y.counts["gaps"]++
		case guarantees.KindCaughtUp:
			live = true
		case guarantees.KindFellBehind:
			live = false
		case guarantees.KindBatch:
			if live && len(f.Events) > 0 {
				y.delays[reader] = append(y.delays[reader], f.Received.Sub(f.Events[0].ReceiveTime))
			}
		}
	}
}

// add adds a round.
func (y *tally) add(round *tally) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for what, n := range round.counts {
		y.counts[what] += n
	}
	for reader, delays := range round.delays {
		y.delays[reader] = append(y.delays[reader], delays...)
	}
}

// check asks for as much trouble as the guarantees are to hold in. It asserts and
// does not require: ending a cleanup by FailNow would lose what the test has to say.
func (y *tally) check(t *testing.T) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	t.Logf("%v", y.counts)
	rounds := y.counts["rounds"]
	assert.NotZero(t, rounds, "no round came to its end")
	if rounds > 1 { // otherwise it was picked by its seed
		for what, n := range wanted() {
			assert.GreaterOrEqual(t, y.counts[what], n*rounds, what)
		}
	}
	y.checkPrompt(t)
}

// checkPrompt holds half of what live readers received against the time of a
// heartbeat: who is not woken by an event receives it with the next one, and no
// guarantee is broken.
func (y *tally) checkPrompt(t *testing.T) {
	t.Helper()
	const fewest, limit = 50, 250 * time.Millisecond
	for reader, delays := range y.delays {
		slices.Sort(delays)
		median := delays[len(delays)/2]
		t.Logf("%s: half of %d batches after %v", reader, len(delays), median)
		if len(delays) >= fewest && reader != slow {
			assert.Less(t, median, limit, "the median delay of reader %q", reader)
		}
	}
}
