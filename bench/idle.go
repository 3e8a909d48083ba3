package main

import (
	"context"
	"fmt"
	"time"
)

// idleSetting is an audience that receives nothing, and the limit of what it takes.
type idleSetting struct {
	audience
	most, aim float64 // KiB of a server's memory for each
}

func (b *bench) idleSettings() []idleSetting {
	own, shared := audience{subscribers: 2000, perConnection: 1}, audience{subscribers: 2000, perConnection: 100}
	if b.quick {
		own.subscribers, shared.subscribers = 40, 200
	}
	return []idleSetting{{own, mostIdleOwn, aimIdleOwn}, {shared, mostIdleShared, aimIdleShared}}
}

// idleHeartbeat is short, so that every subscriber was sent some: what a stream
// needs to send, it keeps.
const idleHeartbeat = time.Second

// idleSettle is how long subscribers are idle before memory is measured.
func (b *bench) idleSettle() time.Duration {
	if b.quick {
		return 200 * time.Millisecond
	}
	return 2500 * time.Millisecond
}

func (b *bench) idleContenders() []streamContender { return b.brokers(ours, natsCore) }

func (b *bench) aboutIdle() time.Duration {
	const connecting = 2 * time.Second
	return time.Duration(b.rounds*len(b.idleSettings())*len(b.idleContenders())) * (connecting + b.idleSettle())
}

// runIdle measures how much more of a server's memory is in RAM with subscribers
// that receive nothing: once all garbage was collected and given back to the
// system, which is what stays, and just before that.
func (b *bench) runIdle(ctx context.Context) ([]result, error) {
	var results []result
	for _, setting := range b.idleSettings() {
		connections := setting.subscribers / setting.perConnection
		found := &sheet{title: fmt.Sprintf("idle: %d subscribers, one WABA each, on %d connections", setting.subscribers, connections)}
		setting.oneTaker, setting.heartbeat = true, idleHeartbeat
		rows := make(map[string]idleRow)
		for _, c := range b.idleContenders() {
			rows[c.name] = idleRow{found.find(c.name, "KiB each"), found.find(c.name+", before garbage is given back", "KiB each")}
			if c.name == ours {
				rows[c.name].stays.atMost(setting.most, theMedian).aimAt(setting.aim)
			}
		}
		err := takeTurns(ctx, b, found.title, b.idleContenders(), streamContenderName, func(c streamContender) error {
			return b.idle(ctx, c, setting, rows[c.name])
		})
		if err != nil {
			return nil, err
		}
		results = append(results, found)
	}
	return results, nil
}

// idleRow is what one contender's subscribers take.
type idleRow struct{ stays, before *finding }

func (b *bench) idle(ctx context.Context, c streamContender, setting idleSetting, row idleRow) error {
	var alone remoteState
	setting.started = func(r *remote) (err error) {
		alone, err = r.ask(remoteOrder{Do: orderFree})
		return err
	}
	return b.withSession(ctx, c, setting.audience, func(ctx context.Context, s *session) error {
		if err := wait(ctx, b.idleSettle(), s.failed); err != nil {
			return err
		}
		for _, look := range []struct {
			order string
			into  *finding
		}{{orderUsage, row.before}, {orderFree, row.stays}} {
			with, err := s.remote.ask(remoteOrder{Do: look.order})
			if err != nil {
				return err
			}
			look.into.add((float64(with.Resident) - float64(alone.Resident)) / 1024 / float64(setting.subscribers))
		}
		return nil
	})
}
