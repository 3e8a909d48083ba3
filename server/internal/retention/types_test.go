package retention_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/retention"
)

// mixed is a log of the last minutes, in each of which there are a hundred
// messages, ten statuses and one ban.
func mixed(minutes int) *fakeLog {
	log := &fakeLog{recordBytes: 1000}
	for m := minutes; m > 0; m-- {
		appendMinute(log, time.Now().Add(-time.Duration(m)*time.Minute))
	}
	return log
}

func appendMinute(log *fakeLog, stamp time.Time) {
	for range 10 {
		log.appendType("messages.text", 10, stamp)
		log.appendType("statuses", 1, stamp)
	}
	log.append(1, stamp)
}

func keepTypes(rules ...retention.TypeRule) retention.Policy { return retention.Policy{Types: rules} }

func TestTypesKeepTheirAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, mixed(60), keepTypes(
			retention.TypeRule{Paths: []string{"messages"}, MaxAge: 30 * time.Minute},
			retention.TypeRule{Paths: []string{"statuses"}, MaxAge: time.Hour},
		), nil)
		for range 60 {
			appendMinute(h.fakeLog, time.Now())
			h.round()
		}
		require.Equal(t, 30*100, h.heldOf("messages"))
		require.Equal(t, 60*10, h.heldOf("statuses"))
		require.Equal(t, 120, h.heldOf(ordinary), "every ban")
		require.Equal(t, map[string]int{"type_age": 120*110 - 30*100 - 60*10}, h.trimmed(t))
		require.Zero(t, h.start, "the log itself is not trimmed")
	})
}

func TestClockJumpsForwardForTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ahead := 10 * year
		h := keep(t, mixed(60), keepTypes(retention.TypeRule{Paths: []string{"messages"}, MaxAge: time.Hour}), func() time.Duration { return ahead })
		for range 6 {
			h.round()
		}
		require.Greater(t, h.heldOf("messages"), 60*100/2, "after six minutes")
		require.Contains(t, h.lines.String(), "level=WARN")
		require.Contains(t, h.lines.String(), "type=messages")
		ahead = 0
		require.Zero(t, h.round(), "the clock was put right")
	})
}

// A tenth of the log is counted from the oldest record of the type that is left,
// however long ago the one before was removed.
func TestAgeOfARareType(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{recordBytes: 1000}
		for range 5 {
			log.appendType("calls", 1, time.Now().Add(-time.Hour))
			log.append(10_000, time.Now().Add(-time.Hour))
		}
		h := keep(t, log, keepTypes(retention.TypeRule{Paths: []string{"calls"}, MaxAge: time.Minute}), nil)
		for n := range 5 {
			require.Equal(t, 1, h.round(), n)
		}
		require.Equal(t, 50_000, h.held())
	})
}

// Where nothing is removed, no reader is told that something was.
func TestTrimPointsAreOfRecordsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{recordBytes: 1000}
		log.append(5, time.Now().Add(-time.Hour))
		log.appendType("calls", 1, time.Now().Add(-time.Hour))
		log.append(500, time.Now().Add(-time.Hour))
		h := keep(t, log, keepTypes(
			retention.TypeRule{Paths: []string{"calls"}, MaxAge: time.Minute},
			retention.TypeRule{Paths: []string{"messages"}, MaxAge: time.Minute, MaxBytes: 1},
		), nil)
		h.round()
		h.round()
		require.Equal(t, map[string]eventlog.Sequence{"calls": 6}, h.trims)
	})
}

func TestTypesKeepToTheirBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, mixed(100), keepTypes(retention.TypeRule{Paths: []string{"messages", "statuses"}, MaxBytes: 2_200_000}), nil)
		h.round()
		require.Equal(t, 2200, h.heldOf("messages")+h.heldOf("statuses"), "at once, to the record")
		require.InDelta(t, 200, h.heldOf("statuses"), 66, "the oldest of both, within 64 KiB")
		require.Equal(t, 100, h.heldOf(ordinary))
		for range 50 {
			appendMinute(h.fakeLog, time.Now())
			h.round()
			require.Equal(t, 2200, h.heldOf("messages")+h.heldOf("statuses"))
			require.InDelta(t, 200, h.heldOf("statuses"), 66)
		}
		require.Equal(t, map[string]int{"type_size": 150*110 - 2200}, h.trimmed(t))
		require.Empty(t, h.lines.String())
	})
}

// Both limits of a rule, and the log's own, which removes what was summed up.
func TestTypesWithEveryLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := keepTypes(
			retention.TypeRule{Paths: []string{"messages"}, MaxAge: 30 * time.Minute, MaxBytes: 2_500_000},
			retention.TypeRule{Paths: []string{"statuses"}, MaxBytes: 1_000_000},
		)
		policy.MaxAge = time.Hour
		h := keep(t, mixed(60), policy, nil)
		for n := range 100 {
			appendMinute(h.fakeLog, time.Now())
			h.round()
			require.Equal(t, 2500, h.heldOf("messages"), n)
			require.InDelta(t, 60*10, h.heldOf("statuses"), 10, n)
			require.InDelta(t, 60, h.heldOf(ordinary), 1, n)
		}
		removed := 0
		for _, n := range h.trimmed(t) {
			removed += n
		}
		require.Equal(t, 160*111-h.held(), removed, "each once, and none that was gone already")
	})
}

// The sum is not made anew each round.
func TestSumsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, mixed(100), keepTypes(retention.TypeRule{Paths: []string{"messages"}, MaxBytes: 5_000_000}), nil)
		h.round()
		h.summed = 0
		appendMinute(h.fakeLog, time.Now())
		h.round()
		require.Less(t, h.summed, uint64(4*100), "those that came, and those that went")
	})
}

// What the log's own limits removed is not counted against a type.
func TestSumsBeginAnewBehindATrim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{recordBytes: 1000}
		log.appendType("messages", 900, time.Now().Add(-2*time.Minute))
		log.append(1, time.Now())
		policy := keepTypes(retention.TypeRule{Paths: []string{"messages"}, MaxBytes: 1_000_000})
		policy.MaxAge = 10 * time.Minute
		h := keep(t, log, policy, nil)
		for range 60 {
			h.append(100, time.Now())
			h.round()
		}
		require.Zero(t, h.heldOf("messages"))
		h.appendType("messages", 900, time.Now())
		h.append(1, time.Now())
		h.round()
		require.Equal(t, 900, h.heldOf("messages"))
	})
}

func TestNewestRecordOfATypeStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{recordBytes: 1000}
		log.appendType("messages", 50, time.Now().Add(-time.Hour))
		h := keep(t, log, keepTypes(retention.TypeRule{Paths: []string{"messages"}, MaxAge: time.Second, MaxBytes: 1}), nil)
		for range 100 {
			h.round()
		}
		require.Equal(t, 1, h.held(), "the log's newest")
		trimmed := h.trimmed(t)
		require.Equal(t, 49, trimmed["type_age"]+trimmed["type_size"])
	})
}

func TestLongTypeTrimsGoInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{recordBytes: 100_000}
		log.appendType("messages", 2000, time.Now().Add(-time.Hour))
		h := keep(t, log, keepTypes(retention.TypeRule{Paths: []string{"messages"}, MaxBytes: 50_000_000}), nil)
		require.Equal(t, 1500, h.round())
		for _, n := range h.steps {
			require.LessOrEqual(t, n, uint64(42), "4 MiB")
		}
	})
}

func TestErrorsOfOneRuleDoNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := mixed(20)
		failing := errors.New("disk says no")
		log.before = func(_ context.Context, call string) error {
			if call == "measure" {
				return failing
			}
			return nil
		}
		policy := keepTypes(
			retention.TypeRule{Paths: []string{"messages"}, MaxAge: time.Minute},
			retention.TypeRule{Paths: []string{"statuses"}, MaxBytes: 1000},
		)
		policy.MaxAge = 20 * time.Minute
		h := keep(t, log, policy, nil)
		require.Equal(t, 111, h.round(), "the log's own limit")
		require.Equal(t, 2, strings.Count(h.lines.String(), "disk says no"))
		failing = nil
		h.round()
		require.Equal(t, 1, h.heldOf("statuses"))
	})
}

func TestRunEndsInATypeTrim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := mixed(20)
		log.before = func(ctx context.Context, call string) error {
			if call != "trim" {
				return nil
			}
			<-ctx.Done() // the trim is under way
			return ctx.Err()
		}
		h := keep(t, log, keepTypes(retention.TypeRule{Paths: []string{"messages"}, MaxBytes: 1000}), nil)
		h.round()
		h.stop()
		<-h.done
		require.Empty(t, h.lines.String())
	})
}
