package stream

import (
	"fmt"
	"testing"
)

// BenchmarkPublish measures what it costs an event to find whom it concerns among
// 10,000 subscribers of one account each, none of whom it does and one of whom.
func BenchmarkPublish(b *testing.B) {
	const subscribers = 10_000
	for _, matches := range []bool{false, true} {
		b.Run(fmt.Sprintf("matches=%t", matches), func(b *testing.B) {
			f := newFeed(nil, nil, 1<<20)
			var waiters []*waiter
			for i := range subscribers {
				waiters = append(waiters, f.join(forAccount(fmt.Sprintf("10000000%07d", i)), false, at(0)))
			}
			account := "none"
			if matches {
				account = "100000000004711"
			}
			round := []*block{blockOf(0, account)}
			b.ReportAllocs()
			for b.Loop() {
				f.head = at(0)
				w := waiters[4711]
				w.armed = true
				f.publish(round)
				if matches {
					<-w.wake
					f.disarm(w)
				}
			}
		})
	}
}
