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

// Limits of single figures.
const (
	mostReplayMicros = 3000 // the newest 200 events of one account, warm, p50
	mostCleanMillis  = 1000 // opening after a clean stop, median
	mostCrashMillis  = 5000 // opening after kill -9 under load, median
	mostResidentMiB  = 512  // a server's memory, at any time
	mostRise         = 1.10 // last third's median ÷ middle third's of what must stay flat
	// mostDisk is disk ÷ bound. Retention trims once a minute and the disk shows
	// it later, so that the log may be over its bound for a while.
	mostDisk = 1.5
)
