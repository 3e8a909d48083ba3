package main

import (
	"context"
	"fmt"
	"time"
)

const (
	pacedRate        = 5000
	pacedSubscribers = 10
	// leastKept is the part of the rate that must have been published for a turn to
	// count, but for --quick, which compares nothing.
	leastKept = 0.9
)

func (b *bench) pacedDurations() (warm, measured time.Duration) {
	if b.quick {
		return 100 * time.Millisecond, 400 * time.Millisecond
	}
	return 500 * time.Millisecond, 3 * time.Second
}

func (b *bench) pacedContenders() []streamContender {
	return b.brokers(naiveStream, ours, oursInMemory, natsCore)
}

func (b *bench) pacedTable() *table {
	title := fmt.Sprintf("paced: %d events/s, each published by itself, to %d subscribers", pacedRate, pacedSubscribers)
	return newTable(title, "CPU µs a delivery, clients included", natsCore, streamNamesOf(b.pacedContenders())).lessIsBetter().wants(pacedGoals())
}

func (b *bench) aboutPaced() time.Duration {
	const starting = 500 * time.Millisecond
	warm, measured := b.pacedDurations()
	return time.Duration(b.rounds*len(b.pacedContenders())) * (starting + warm + measured)
}

// runPaced measures what a delivery costs while there is no backlog: every event
// is published by itself, when its time has come.
func (b *bench) runPaced(ctx context.Context) ([]result, error) {
	t := b.pacedTable()
	warm, measured := b.pacedDurations()
	to := audience{subscribers: pacedSubscribers, perConnection: 1, heartbeat: quiet}
	err := takeTurns(ctx, b, t.title, b.pacedContenders(), streamContenderName, func(c streamContender) error {
		return b.withSession(ctx, c, to, func(ctx context.Context, s *session) error {
			p := s.toAll()
			p.rate = pacedRate
			u, err := p.measure(ctx, warm, measured)
			if err != nil {
				return err
			}
			if kept := float64(u.published) / u.took.Seconds() / pacedRate; kept < leastKept && !b.quick {
				return fmt.Errorf("published %s of the rate: the machine is too busy", figure(kept))
			}
			n := float64(u.delivered)
			t.add(c.name, micros(u.serverCPU+u.clientCPU)/n)
			t.row(c.name).server = append(t.row(c.name).server, micros(u.serverCPU)/n)
			return nil
		})
	})
	return []result{t}, err
}
