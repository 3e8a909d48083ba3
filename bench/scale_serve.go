package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// residentInterval is how often the memory of a server is looked at.
const residentInterval = 250 * time.Millisecond

// serve measures the memory of a server that is opened on the log, streams all of
// it, streams single accounts, and takes callbacks.
func (s *scale) serve(ctx context.Context, found *sheet) error {
	limit := func(f *finding) *finding { return f.atMost(mostResidentMiB, theGreatest) }
	opened := limit(found.find("after opening", "MiB"))
	streamed := limit(found.find("after streaming all events", "MiB"))
	filtered := limit(found.find("after streaming single WABAs", "MiB"))
	ingesting := limit(found.find("while taking callbacks", "MiB"))
	s.peak = limit(found.find("peak of every server of this run", "MiB"))
	p, err := s.program.start(ctx, s.dir)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := s.resident(p, opened); err != nil {
		return err
	}
	all, took, err := stream(ctx, p, nil)
	if err != nil {
		return err
	}
	if all != s.events {
		return fmt.Errorf("streamed %d events of %d", all, s.events)
	}
	found.find("streaming all events to one subscriber", "events/s").add(float64(all) / took.Seconds())
	if err := s.resident(p, streamed); err != nil {
		return err
	}
	if err := s.streamAccounts(ctx, p, found.find("streaming one WABA to a new subscriber", "ms")); err != nil {
		return err
	}
	if err := s.resident(p, filtered); err != nil {
		return err
	}
	taken := found.find(fmt.Sprintf("callbacks taken over %d connections", loadConnections), "callbacks/s")
	if err := s.ingest(ctx, p, ingesting, taken); err != nil {
		return err
	}
	return errors.Join(s.notePeak(p), p.stop())
}

func (s *scale) resident(p *serverProcess, f *finding) error {
	m, err := p.memory()
	f.add(mebibytes(m.resident))
	return err
}

// notePeak is for a server that is about to end.
func (s *scale) notePeak(p *serverProcess) error {
	m, err := p.memory()
	s.peak.add(mebibytes(m.peak))
	return err
}

// stream reads what the log holds of the accounts named, of all if none is, and
// tells how many events that were and how long it took.
func stream(ctx context.Context, p *serverProcess, accounts []string) (events uint64, took time.Duration, err error) {
	c, err := client.New(p.grpc)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	start := time.Now()
	request := &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:  &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}
	if len(accounts) > 0 {
		request.Filters = []*wabastreamv1.EventFilter{{WabaIds: accounts}}
	}
	for _, err := range c.Subscribe(ctx, request) {
		if err != nil {
			return events, 0, fmt.Errorf("stream events: %w", err)
		}
		events++
	}
	return events, time.Since(start), nil
}

// streamAccounts includes what a subscriber needs to connect.
func (s *scale) streamAccounts(ctx context.Context, p *serverProcess, f *finding) error {
	for range s.scaleSizes().cold {
		at := s.nextAccount()
		n, took, err := stream(ctx, p, []string{account(uint64(at))})
		if err != nil {
			return err
		}
		if n != uint64(s.counts[at]) {
			return fmt.Errorf("account %d: streamed %d events of %d", at, n, s.counts[at])
		}
		f.add(micros(took) / 1e3)
	}
	return nil
}

// ingest looks at the server's memory while it takes callbacks.
func (s *scale) ingest(ctx context.Context, p *serverProcess, inRAM, taken *finding) error {
	start := time.Now()
	end := start.Add(s.scaleSizes().ingesting)
	accepted, posting, err := s.underLoad(ctx, p, func() error {
		for time.Now().Before(end) {
			if err := wait(ctx, residentInterval, nil); err != nil {
				return err
			}
			if err := s.resident(p, inRAM); err != nil {
				return err
			}
		}
		return nil
	})
	taken.add(float64(accepted) / time.Since(start).Seconds())
	return errors.Join(err, posting)
}

// underLoad posts as fast as the server answers while use runs. It tells how many
// callbacks were answered 200, and what ended the posting before use did.
func (s *scale) underLoad(ctx context.Context, p *serverProcess, use func() error) (accepted uint64, posting, err error) {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	posted := &answers{}
	load := &callbackLoad{addr: p.http, callbacks: &s.callbacks, answers: posted}
	var posters sync.WaitGroup
	posters.Go(func() { posting = load.run(loading) })
	err = use()
	stop()
	posters.Wait()
	return posted.total(), posting, err
}
