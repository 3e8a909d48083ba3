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

const year = 365 * 24 * time.Hour

// filled is a log of a hundred records for each of the last minutes.
func filled(minutes int) *fakeLog {
	log := &fakeLog{recordBytes: 1000}
	for m := minutes; m > 0; m-- {
		log.append(100, time.Now().Add(-time.Duration(m)*time.Minute))
	}
	return log
}

func TestAgeOnAnOrdinaryDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, filled(60), retention.Policy{MaxAge: time.Hour}, nil)
		for range 120 {
			h.append(100, time.Now())
			require.Equal(t, 100, h.round(), "what came of age in a minute")
			require.Equal(t, 6000, h.held())
		}
		require.Equal(t, map[string]int{"age": 12_000}, h.trimmed(t))
		require.Empty(t, h.lines.String())
	})
}

// TestAgeCatchesUp is a start after a long stop.
func TestAgeCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, filled(240), retention.Policy{MaxAge: time.Hour}, nil)
		require.Equal(t, 2400, h.round(), "a tenth of 24,000")
		require.Equal(t, 2160, h.round(), "a tenth of 21,600")
		require.Contains(t, h.lines.String(), "level=WARN")
		for range 20 {
			h.append(100, time.Now())
			require.LessOrEqual(t, h.round(), (h.held()+10)/9)
		}
		require.Equal(t, 5800, h.held(), "an hour, in whose first two minutes nothing was appended")
	})
}

func TestClockJumpsForward(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ahead := 10 * year
		h := keep(t, filled(10), retention.Policy{MaxAge: time.Hour}, func() time.Duration { return ahead })
		require.Equal(t, 100, h.round())
		require.Equal(t, 90, h.round())
		for range 4 {
			h.round()
		}
		require.Greater(t, h.held(), 500, "after six minutes")
		ahead = 0
		require.Zero(t, h.round(), "the clock was put right")
	})
}

func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		behind := 10 * year
		h := keep(t, filled(90), retention.Policy{MaxAge: time.Hour}, func() time.Duration { return -behind })
		for range 10 {
			require.Zero(t, h.round())
		}
		behind = 0
		require.Equal(t, 900, h.round())
	})
}

func TestNewestRecordStays(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]retention.Policy{
		"age":  {MaxAge: time.Second},
		"size": {MaxBytes: 1},
		"both": {MaxAge: time.Second, MaxBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := keep(t, filled(3), policy, nil)
				for range 100 {
					require.LessOrEqual(t, h.round(), h.held()*2+1, "never nearly all of it")
					require.Positive(t, h.held())
				}
				require.Equal(t, 1, h.held())
			})
		})
	}
}

func TestEmptyLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, &fakeLog{otherBytes: 1 << 20}, retention.Policy{MaxAge: 1, MaxBytes: 1}, nil)
		h.round()
		require.Empty(t, h.steps)
		require.Equal(t, map[string]int{}, h.trimmed(t))
	})
}

func TestZeroPolicyKeepsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, filled(9), retention.Policy{}, nil)
		require.Zero(t, h.round())
		require.Zero(t, h.calls)
	})
}

func TestNothingBeforeTheFirstInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, filled(9), retention.Policy{MaxAge: time.Second}, nil)
		<-time.After(time.Minute - time.Nanosecond)
		synctest.Wait()
		require.Zero(t, h.calls)
	})
}

// TestSizeConverges comes to the same end whenever the disk gives space back.
func TestSizeConverges(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{0, time.Minute, 5 * time.Minute, time.Hour} {
		t.Run(lag.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := filled(10)
				log.lag, log.otherBytes = lag, 100_000
				h := keep(t, log, retention.Policy{MaxBytes: 600_000}, nil)
				for range 4 {
					h.round()
				}
				require.Equal(t, 500, h.held(), "100,000 and 500 records of 1,000 bytes are 600,000")
				for range 100 {
					require.Zero(t, h.round(), "more than the bound asks for")
				}
				require.Equal(t, uint64(600_000), h.stats().Bytes)
				require.Equal(t, map[string]int{"size": 500}, h.trimmed(t))
			})
		})
	}
}

func TestSizeWithAppendsGoingOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := filled(10)
		log.lag, log.otherBytes = 7*time.Minute, 50_000
		h := keep(t, log, retention.Policy{MaxBytes: 600_000}, nil)
		for n := range 200 {
			h.append(20, time.Now())
			h.round()
			s := h.stats()
			if n < 10 {
				continue
			}
			// Two records more: the other bytes are taken for the records' at first.
			require.LessOrEqual(t, s.Bytes-s.Reclaimable, uint64(602_000))
			require.GreaterOrEqual(t, s.Bytes-s.Reclaimable, uint64(599_000), "trimmed too much")
			require.LessOrEqual(t, s.Reclaimable, uint64(8*20*1000), "what was trimmed while the disk lags")
		}
		require.Empty(t, h.lines.String())
	})
}

func TestSizeFarOverTheBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, filled(10), retention.Policy{MaxBytes: 200_000}, nil)
		require.Equal(t, 500, h.round())
		require.Contains(t, h.lines.String(), "level=WARN")
		require.Equal(t, 250, h.round())
		require.Equal(t, 50, h.round())
		require.Zero(t, h.round())
	})
}

func TestReclaimableMayExceedBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := filled(10)
		log.mistake = 2_000_000
		h := keep(t, log, retention.Policy{MaxBytes: 1}, nil)
		require.Zero(t, h.round(), "nothing is known to be over the bound")
	})
}

func TestLongTrimsGoInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := keep(t, filled(2000), retention.Policy{MaxBytes: 100_000_000}, nil)
		require.Equal(t, 100_000, h.round())
		require.Len(t, h.steps, 25)
		for _, n := range h.steps {
			require.LessOrEqual(t, n, uint64(4096))
		}
	})
}

func TestErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"bounds", "stats", "seek", "trim"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := filled(20)
				failing := errors.New("disk says no")
				log.before = func(_ context.Context, c string) error {
					if c == call {
						return failing
					}
					return nil
				}
				h := keep(t, log, retention.Policy{MaxAge: 20 * time.Minute, MaxBytes: 1_800_000}, nil)
				h.round()
				require.Equal(t, 1, strings.Count(h.lines.String(), "\n"), "logged once")
				require.Contains(t, h.lines.String(), "level=WARN")
				require.Contains(t, h.lines.String(), "disk says no")
				failing = nil
				h.round()
				require.LessOrEqual(t, h.held(), 1800)
				require.Equal(t, 1, strings.Count(h.lines.String(), "\n"))
			})
		})
	}
}

func TestSizeIsKeptWhereAgeCannotBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := filled(20)
		log.before = func(_ context.Context, call string) error {
			if call == "seek" {
				return errors.New("disk says no")
			}
			return nil
		}
		h := keep(t, log, retention.Policy{MaxAge: time.Minute, MaxBytes: 1_500_000}, nil)
		require.Equal(t, 500, h.round())
		require.Equal(t, map[string]int{"size": 500}, h.trimmed(t))
	})
}

func TestEndOfTheLogEndsRun(t *testing.T) {
	t.Parallel()
	for _, end := range []error{eventlog.ErrFailed, eventlog.ErrClosed} {
		t.Run(end.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := filled(20)
				log.before = func(context.Context, string) error { return end }
				h := keep(t, log, retention.Policy{MaxAge: time.Second, MaxBytes: 1}, nil)
				h.round()
				<-h.done
				require.Empty(t, h.lines.String())
			})
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := filled(20)
		log.before = func(ctx context.Context, call string) error {
			if call != "trim" {
				return nil
			}
			<-ctx.Done() // the trim is under way
			return ctx.Err()
		}
		h := keep(t, log, retention.Policy{MaxBytes: 1_500_000}, nil)
		h.round()
		h.stop()
		<-h.done
		require.Empty(t, h.lines.String())
	})
}

func TestNoRegistererNoLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := filled(10)
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		retention.New(retention.Config{Log: log, Policy: retention.Policy{MaxAge: 5 * time.Minute}}).Run(ctx)
		require.Equal(t, 900, log.held())
	})
}
