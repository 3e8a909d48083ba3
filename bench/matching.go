package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// matchingAudience is how many subscribers an event is matched with, each of one
// account.
func (b *bench) matchingAudience() int {
	if b.quick {
		return 200
	}
	return 10_000
}

const matchingConnections = 100

func (b *bench) matchingContenders() []streamContender { return b.brokers(oursInMemory, natsCore) }

func (b *bench) matchingDurations() (warm, measured time.Duration) {
	if b.quick {
		return 50 * time.Millisecond, 200 * time.Millisecond
	}
	return time.Second, 2 * time.Second
}

func (b *bench) aboutMatching() time.Duration {
	const connecting = 4 * time.Second
	warm, measured := b.matchingDurations()
	return time.Duration(b.rounds*len(b.matchingContenders())) * 2 * (2*(warm+measured) + connecting)
}

// matchingShape is whose events are published.
type matchingShape struct {
	title    string
	rotation rotation
	takers   int
}

func matchingShapes() []matchingShape {
	return []matchingShape{
		{"an event that nobody takes", rotation{First: 1 << 20, Accounts: 10_000}, 0},
		{"an event that one takes", rotation{Accounts: 1}, 1},
	}
}

// matchingRow is what an event costs one contender's server.
type matchingRow struct{ one, many, more *finding }

// runMatching measures what more an event costs the server when there are many
// subscribers that it does not concern. The product's log is in memory: what the
// store costs would be many times what is looked for.
func (b *bench) runMatching(ctx context.Context) ([]result, error) {
	subscribers := b.matchingAudience()
	rows := make(map[string][]matchingRow)
	var results []result
	for _, shape := range matchingShapes() {
		found := &sheet{title: "matching: the server's CPU, " + shape.title}
		for _, c := range b.matchingContenders() {
			row := matchingRow{
				one:  found.find(c.name+", one subscriber", "ns an event"),
				many: found.find(fmt.Sprintf("%s, %d subscribers", c.name, subscribers), "ns an event"),
				more: found.find(c.name+", the difference", "ns an event"),
			}
			if c.name == oursInMemory {
				row.more.atMost(mostMatchingNanos, theMedian).aimAt(aimMatchingNanos)
			}
			rows[c.name] = append(rows[c.name], row)
		}
		results = append(results, found)
	}
	err := takeTurns(ctx, b, "matching", b.matchingContenders(), streamContenderName, func(c streamContender) error {
		one, err := b.matching(ctx, c, 1)
		if err != nil {
			return err
		}
		many, err := b.matching(ctx, c, subscribers)
		if err != nil {
			return err
		}
		for i, row := range rows[c.name] {
			row.one.add(one[i])
			row.many.add(many[i])
			row.more.add(many[i] - one[i])
		}
		return nil
	})
	return results, err
}

// matching tells what an event of each shape costs the server, in nanoseconds.
func (b *bench) matching(ctx context.Context, c streamContender, subscribers int) (nanos []float64, err error) {
	warm, measured := b.matchingDurations()
	of := audience{
		subscribers: subscribers, perConnection: max(1, subscribers/matchingConnections),
		oneTaker: true, heartbeat: quiet,
	}
	err = b.withSession(ctx, c, of, func(ctx context.Context, s *session) error {
		for _, shape := range matchingShapes() {
			p := s.toAll()
			p.rotation, p.takers = shape.rotation, s.receivers[:shape.takers]
			u, err := p.measure(ctx, warm, measured)
			if err != nil {
				return err
			}
			if u.published == 0 {
				return errors.New("nothing was published in the time measured")
			}
			nanos = append(nanos, float64(u.serverCPU.Nanoseconds())/float64(u.published))
		}
		return nil
	})
	return nanos, err
}
