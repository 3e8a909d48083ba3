package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fanoutSetting is an audience, with a table for what is found.
type fanoutSetting struct {
	audience
	contenders []streamContender
	*table
}

const (
	broadcastShape = "broadcast"
	oneTakerShape  = "each event one taker"
)

// mostJetStream is how many ordered consumers JetStream takes part with, not
// decoding: with more of them a turn takes longer than all others together.
const mostJetStream = 100

func (b *bench) fanoutSettings() []fanoutSetting {
	var settings []fanoutSetting
	add := func(a audience, shape string, goals map[string]goal) {
		title := fmt.Sprintf("fanout: %s to %d subscribers", shape, a.subscribers)
		if a.decode {
			title += ", every event decoded"
		}
		if !b.wants(title) {
			return
		}
		names := []string{naiveStream, ours, oursOnJetStream, oursInMemory, natsCore}
		if a.subscribers <= mostJetStream && !a.decode {
			names = append(names, jetStream, jetStreamOrdered, jetStreamOrderedBatches)
		}
		a.perConnection, a.heartbeat = 1, quiet
		contenders := b.brokers(names...)
		t := newTable(title, "deliveries/s", naiveStream, streamNamesOf(contenders)).wants(goals)
		settings = append(settings, fanoutSetting{a, contenders, t})
	}
	for _, n := range b.audiences(1, 10, 100, 1000) {
		add(audience{subscribers: n}, broadcastShape, broadcastGoals(n))
	}
	for _, n := range b.audiences(10, 100, 1000) {
		add(audience{subscribers: n, oneTaker: true}, oneTakerShape, oneTakerGoals(n))
	}
	for _, n := range b.audiences(10, 1000) {
		add(audience{subscribers: n, decode: true}, broadcastShape, nil)
	}
	return settings
}

// audiences are the numbers of subscribers; with --quick only the small ones.
func (b *bench) audiences(all ...int) []int {
	if !b.quick {
		return all
	}
	const most = 10
	var small []int
	for _, n := range all {
		if n <= most {
			small = append(small, n)
		}
	}
	return small
}

// fanoutDurations are those of one turn.
func (b *bench) fanoutDurations() (warm, measured time.Duration) {
	if b.quick {
		return 50 * time.Millisecond, 500 * time.Millisecond
	}
	return 300 * time.Millisecond, time.Second
}

func (b *bench) aboutFanout() time.Duration {
	const starting = 500 * time.Millisecond
	warm, measured := b.fanoutDurations()
	turns := 0
	for _, s := range b.fanoutSettings() {
		turns += len(s.contenders)
	}
	return time.Duration(b.rounds*turns) * (starting + warm + measured)
}

// runFanout measures how many events all subscribers together receive while they
// are published as fast as the slowest of them reads. Each has a connection of its
// own. What the log leaves of a goal is seen from that of the stream alone.
func (b *bench) runFanout(ctx context.Context) ([]result, error) {
	var tables []result
	warm, measured := b.fanoutDurations()
	for _, setting := range b.fanoutSettings() {
		err := takeTurns(ctx, b, setting.title, setting.contenders, streamContenderName, func(c streamContender) error {
			return b.withSession(ctx, c, setting.audience, func(ctx context.Context, s *session) error {
				u, err := s.toAll().measure(ctx, warm, measured)
				setting.addUsage(c.name, u.deliveries, u)
				return err
			})
		})
		if err != nil {
			return nil, err
		}
		tables = append(tables, b.withReplica(setting.table, oursOnJetStream)...)
		if setting.hasGoals() && !b.replica {
			tables = append(tables, setting.of(oursInMemory))
		}
	}
	return tables, nil
}

// measure runs the publication and tells what a part of it cost.
func (p *publication) measure(ctx context.Context, warm, measured time.Duration) (u usage, err error) {
	_, err = p.run(ctx, func(ctx context.Context) (err error) {
		if u, err = p.session.measure(ctx, warm, measured, p.takers); err == nil && u.delivered == 0 && len(p.takers) > 0 {
			err = errors.New("nothing was received in the time measured")
		}
		return err
	})
	return u, err
}

// addUsage adds a figure, and what a delivery cost.
func (t *table) addUsage(name string, value float64, u usage) {
	r := t.row(name)
	n := float64(u.delivered)
	r.values = append(r.values, value)
	r.cpu = append(r.cpu, micros(u.serverCPU+u.clientCPU)/n)
	r.server = append(r.server, micros(u.serverCPU)/n)
}
