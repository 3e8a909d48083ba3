package main

import "math"

// goal is what the project wants one ratio to be: must is to be reached, aim is
// what would make the product the best of its field.
type goal struct{ must, aim float64 }

// reached says which of the two a ratio reaches.
func (g goal) reached(ratio float64) string {
	switch {
	case math.IsNaN(ratio):
		return "-"
	case ratio >= g.aim:
		return "aim"
	case ratio >= g.must:
		return "must"
	default:
		return "no"
	}
}

// What follows are the project's goals for this command's ratios, product ÷
// contender, by contender. A setting that is not here has none.

func appendGoals(writers int) map[string]goal {
	switch writers {
	case 1:
		return map[string]goal{segmentFile: {0.9, 1.4}}
	case 64:
		return map[string]goal{segmentFile: {0.5, 1.1}, jetStreamSync: {11, 24}, jetStreamAtomic: {6, 14}, jetStreamLazy: {0.75, 1.7}}
	case 256:
		return map[string]goal{segmentFile: {0.3, 0.8}, jetStreamSync: {15, 50}, jetStreamAtomic: {3, 10}, jetStreamLazy: {1.0, 3.5}}
	default:
		return nil
	}
}

func ingestGoals(connections int) map[string]goal {
	switch connections {
	case 64:
		return map[string]goal{noOp: {0.42, 0.65}, frontOn + jetStreamSync: {5.5, 8}}
	case 256:
		return map[string]goal{noOp: {0.55, 0.8}, frontOn + jetStreamSync: {6.5, 8}}
	default:
		return nil
	}
}

// replayGoals are those of a warm log of two million events.
func replayGoals() map[string]goal {
	return map[string]goal{jetStreamLazy: {100, 1000}}
}

func broadcastGoals(subscribers int) map[string]goal {
	switch subscribers {
	case 10:
		return map[string]goal{naiveStream: {7.5, 10}, natsCore: {3.4, 5}}
	case 100:
		return map[string]goal{naiveStream: {8, 12}, natsCore: {4, 5}}
	case 1000:
		return map[string]goal{naiveStream: {9, 15}, natsCore: {4, 6}}
	default:
		return nil
	}
}

func oneTakerGoals(subscribers int) map[string]goal {
	if subscribers != 1000 {
		return nil
	}
	return map[string]goal{naiveStream: {2.2, 5}, natsCore: {4, 10}}
}

// latencyGoals are of p50 and p99: how many times JetStream's, which is not durable.
func latencyGoals(rate float64, subscribers int) (p50, p99 map[string]goal) {
	if rate != 5000 || subscribers != 10 {
		return nil, nil
	}
	return map[string]goal{jetStreamFront: {1 / 2.2, 1 / 1.3}}, map[string]goal{jetStreamFront: {1 / 1.0, 1 / 0.6}}
}

// pacedGoals are of CPU: at most three quarters of NATS core's, better half of it.
func pacedGoals() map[string]goal {
	return map[string]goal{natsCore: {1 / 0.75, 1 / 0.5}}
}

// Limits of single figures.
const (
	mostReplayMicros = 3000 // the newest 200 events of one account, warm, p50
	mostCleanMillis  = 1000 // opening after a clean stop, median
	mostCrashMillis  = 5000 // opening after kill -9 under load, median
	mostResidentMiB  = 512  // a server's memory, at any time

	mostIdleOwn, aimIdleOwn             = 32, 24  // KiB a subscriber on a connection of its own
	mostIdleShared, aimIdleShared       = 8, 6    // KiB a subscriber that shares one with 99 others
	mostMatchingNanos, aimMatchingNanos = 200, 50 // an event, with 10,000 subscribers that it does not concern

	mostRise = 1.10 // last third's median ÷ middle third's of what must stay flat
	// mostDisk is disk ÷ bound. Retention trims once a minute and the disk shows
	// it later, so that the log may be over its bound for a while.
	mostDisk = 1.5
)
