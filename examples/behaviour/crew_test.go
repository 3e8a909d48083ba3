//go:build examples

package behaviour_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// crew is one consumer of each kind, all subscribed to the same server.
type crew []*consumer

// newCrew makes the consumers and starts none.
func newCrew(t *testing.T, s *server, args ...string) crew {
	t.Helper()
	return crewOf(t, kinds(t), func(k kind) string { return k.address(s) }, args...)
}

func crewOf(t *testing.T, kinds []kind, address func(kind) string, args ...string) crew {
	t.Helper()
	var c crew
	for _, k := range kinds {
		c = append(c, newConsumer(t, k, address(k), args...))
	}
	return c
}

// startCrew makes the consumers, starts each and waits until it is subscribed.
func startCrew(t *testing.T, s *server, args ...string) crew {
	t.Helper()
	c := newCrew(t, s, args...)
	c.start()
	return c
}

// with returns those of the crew whose kind is so.
func (c crew) with(is func(kind) bool) crew {
	var some crew
	for _, each := range c {
		if is(each.kind) {
			some = append(some, each)
		}
	}
	return some
}

// those that watch heartbeats and send tokens.
func (c crew) able() crew { return c.with(func(k kind) bool { return !k.eventSource }) }

func (c crew) start(args ...string) {
	for _, each := range c {
		each.t.Helper()
		each.start(args...)
	}
	for _, each := range c {
		each.awaitNote("subscribed|resumed", 1)
	}
}

func (c crew) awaitLines(n int) {
	for _, each := range c {
		each.t.Helper()
		each.awaitLines(n)
	}
}

func (c crew) awaitNote(pattern string, times int) {
	for _, each := range c {
		each.t.Helper()
		each.awaitNote(pattern, times)
	}
}

// renew tells those that do not see it that the token file has another token.
func (c crew) renew() {
	for _, each := range c {
		if renew := each.running().renew; renew != nil {
			renew()
		}
	}
}

func (c crew) stop() {
	for _, each := range c {
		each.t.Helper()
		each.stop()
	}
}

// check holds what each consumer printed against the events that it was to receive:
// each process printed a part of them without a gap, in order and nothing twice; the
// first begins with the first event, each other one where the one before had stopped;
// and together they printed all. Only after a process that was killed some may come
// again.
func (c crew) check(events []*wabastreamv1.Event) {
	for _, each := range c {
		each.t.Helper()
		each.check(events)
	}
}

func (c *consumer) check(events []*wabastreamv1.Event) {
	c.t.Helper()
	places := make(map[string]int, len(events))
	for i, event := range events {
		places[expectedLine(event)] = i
	}
	require.Len(c.t, places, len(events))
	reached, crashed := 0, false // the place that is due, and whether earlier ones may come
	for number, run := range c.runs {
		next := reached
		for i, line := range run.lines {
			place, there := places[line]
			require.True(c.t, there, "%s, process %d: the line is of no event that was due: %q", c.name, number, line)
			if i == 0 && crashed && place < next {
				next = place
			}
			require.Equal(c.t, next, place, "%s, process %d, line %d", c.name, number, i)
			next++
		}
		reached, crashed = max(reached, next), run.killed
	}
	require.Len(c.t, events, reached, "%s has not printed every event", c.name)
	c.t.Logf("%s: %d events over %d processes", c.name, len(events), len(c.runs))
}

// expectedLine is what every language has to print for an event.
func expectedLine(event *wabastreamv1.Event) string {
	waba := event.GetWabaId()
	if waba == "" {
		waba = "-"
	}
	fields := []string{
		strconv.FormatUint(event.GetSequence(), 10), event.GetId(),
		strings.TrimPrefix(event.GetSeverity().String(), "SEVERITY_"), event.GetType(), waba, happened(event),
	}
	for i := range fields {
		fields[i] = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, fields[i])
	}
	return strings.Join(fields, "\t")
}

func happened(event *wabastreamv1.Event) string {
	switch {
	case event.GetAccountUpdate() != nil:
		return event.GetAccountUpdate().GetEventText()
	case event.GetAccountReviewUpdate() != nil:
		return event.GetAccountReviewUpdate().GetDecisionText()
	case event.GetPhoneNumberNameUpdate() != nil:
		return event.GetPhoneNumberNameUpdate().GetDecisionText()
	case event.GetPhoneNumberQualityUpdate() != nil:
		return event.GetPhoneNumberQualityUpdate().GetEventText()
	case event.GetUserPreference() != nil:
		return event.GetUserPreference().GetValueText()
	default:
		return fmt.Sprintf("%d bytes of JSON", len(event.GetUnrecognized().GetJson()))
	}
}
