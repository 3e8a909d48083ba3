//go:build examples

package behaviour_test

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client/callbacks"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Every event is printed as it happens, the provider's examples and what nobody has
// seen before.
func TestLive(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := startCrew(t, s)
	for _, callback := range callbacks.NXCloud() {
		s.postBody(callback.Body)
	}
	for _, body := range []string{`null`, `[]`, `"Grüße"`, `{"field":"account_update","value":{"event":"\u0000\u001b[2J","wabaId":"x\ty"}}`} {
		s.postBody([]byte(body))
	}
	events := s.held()
	require.Len(t, events, len(callbacks.NXCloud())+4)
	c.awaitLines(len(events))
	c.stop()
	c.check(events)
}

// Only what the filters select is printed.
func TestFilters(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := startCrew(t, s, "--waba-id", "waba1", "--waba-id", "waba3", "--type", "account_update", "--type", "phone_number_name_update")
	s.post(60)
	events := s.held(&wabastreamv1.EventFilter{WabaIds: []string{"waba1", "waba3"}, Types: []string{"account_update", "phone_number_name_update"}})
	require.Len(t, events, 12)
	c.awaitLines(len(events))
	c.stop()
	c.check(events)
}

// Consumers wait for a server that is not there yet, and stay subscribed while it is
// replaced, by kill -9 and in order.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.post(3)
	s.stop()
	c := newCrew(t, s)
	for _, each := range c {
		each.start()
	}
	c.awaitNote("lost|stream ended", 1)
	s.start()
	c.awaitLines(s.posted)
	const restarts = 6
	for i := range restarts {
		s.post(10 + rand.IntN(40)) // some are not printed yet
		if i%2 == 0 {
			s.kill()
		} else {
			s.stop()
		}
		s.start()
		s.post(5)
		c.awaitLines(s.posted)
	}
	c.stop()
	c.check(s.held())
	c.awaitDraining(restarts / 2)
}

// awaitDraining looks for the word of servers that ended in order.
func (c crew) awaitDraining(times int) {
	for _, each := range c {
		each.t.Helper()
		draining := 0
		for _, note := range each.running().notes {
			if strings.Contains(note, "DRAINING") && !strings.Contains(note, "closing") {
				draining++
			}
		}
		require.Equal(each.t, times, draining, "%s was told that the server ends", each.name)
	}
}

// A server that stands still, and a network that loses connections without a word, are
// found by the heartbeats that do not come. An EventSource is told of no heartbeat: it
// waits, and misses nothing once the server goes on, or the connection breaks.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := startCrew(t, s)
	s.post(10)
	c.awaitLines(s.posted)
	s.freeze()
	c.able().awaitNote("silent", 1)
	s.thaw()
	s.post(10)
	c.awaitLines(s.posted)
	s.lose()
	s.post(10)
	c.able().awaitNote("silent", 2)
	s.breakLost()
	c.awaitLines(s.posted)
	c.stop()
	c.check(s.held())
}

// A consumer goes on where it was interrupted without printing anything twice, and
// misses nothing after it was killed, also in the middle of a replay.
func TestConsumerRestarts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := startCrew(t, s, "--from", "latest")
	for round := range 4 {
		s.post(50 + rand.IntN(100))
		for _, each := range c {
			each.awaitLines(1)
			if round%2 == 0 {
				each.kill()
			} else {
				each.stop()
			}
		}
		s.post(20)
		c.start()
	}
	for _, each := range c {
		each.awaitAll(s.posted)
	}
	c.stop()
	c.check(s.held())
}

// awaitAll waits until all processes together have printed so many different lines.
func (c *consumer) awaitAll(n int) {
	c.t.Helper()
	before := make(map[string]bool)
	for _, run := range c.runs[:len(c.runs)-1] {
		for _, line := range run.lines {
			before[line] = true
		}
	}
	c.await("all lines", func(lines, _ []string) bool {
		all := maps.Clone(before)
		for _, line := range lines {
			all[line] = true
		}
		return len(all) >= n
	})
}

// Each language goes on with the checkpoint of another.
func TestCheckpointIsTheSameInEveryLanguage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	all := languages(t)
	c := newConsumer(t, all[0], s.grpc.address())
	total := 0
	for _, l := range append(all, all...) {
		s.post(7)
		c.kind = l
		c.start()
		c.awaitLines(s.posted - total)
		total = s.posted
		c.stop()
	}
	c.check(s.held())
}

// While nothing matches the checkpoint moves all the same, so that it does not expire.
func TestCheckpointMovesWhileNothingMatches(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := newCrew(t, s, "--waba-id", "nobody").able() // an EventSource keeps what it is told to itself
	c.start()
	s.post(1)
	head := s.held()[0].GetCursor() + "\n"
	for _, each := range c {
		each.awaitSaved(head)
	}
	c.stop()
	c.check(nil)
}
