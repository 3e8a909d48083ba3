package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// openAgain measures opening in rounds: a server after a clean stop and after
// kill -9, then the log by itself after kill -9 and after a clean close. What is
// killed was taking in as much as it can. The system's cache stays as it is.
func (s *scale) openAgain(ctx context.Context, found *sheet) error {
	serverClean := found.find("server ready after a clean stop", "ms").atMost(mostCleanMillis, theMedian)
	serverCrash := found.find("server ready after kill -9 under load", "ms").atMost(mostCrashMillis, theMedian)
	logClean := found.find("log open after a clean close", "ms").atMost(mostCleanMillis, theMedian)
	logCrash := found.find("log open after kill -9 under load", "ms").atMost(mostCrashMillis, theMedian)
	for round := range s.rounds {
		fmt.Fprintf(s.progress, "scale: opening, round %d of %d\n", round+1, s.rounds)
		if err := s.killServer(ctx, serverClean); err != nil {
			return err
		}
		if err := s.stopServer(ctx, serverCrash); err != nil {
			return err
		}
		const apart = 100_000_000 // far more records than one child appends
		first := s.events + uint64(round)*apart
		if err := s.killedChild(ctx, s.scaleSizes().loaded, childAppend, ours, s.dir, strconv.FormatUint(first, 10)); err != nil {
			return err
		}
		for _, f := range []*finding{logCrash, logClean} {
			o, err := s.childOpens(ctx, wabastream(), s.dir)
			if err != nil {
				return err
			}
			f.add(o.Micros / 1e3)
		}
	}
	return nil
}

// killServer starts one, and kills it under load.
func (s *scale) killServer(ctx context.Context, startup *finding) error {
	p, err := s.program.start(ctx, s.dir)
	if err != nil {
		return err
	}
	defer p.kill()
	startup.add(micros(p.startup) / 1e3)
	// Posting ends with an error: the server cannot be reached any more.
	accepted, _, err := s.underLoad(ctx, p, func() error {
		if err := wait(ctx, s.scaleSizes().loaded, nil); err != nil {
			return err
		}
		defer p.kill()
		return s.notePeak(p)
	})
	if err == nil && accepted == 0 {
		err = errors.New("no callback was taken before the server was killed")
	}
	return err
}

// stopServer starts one, and stops it in order.
func (s *scale) stopServer(ctx context.Context, startup *finding) error {
	p, err := s.program.start(ctx, s.dir)
	if err != nil {
		return err
	}
	defer p.kill()
	startup.add(micros(p.startup) / 1e3)
	return errors.Join(s.notePeak(p), p.stop())
}
