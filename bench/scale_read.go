package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// newestEvents is how many of an account's events are read from the newest back.
const newestEvents = 200

// accountRead is a way to read one account.
type accountRead struct {
	read func(readableLog, context.Context, string) (int, error)
	want func(held int) int
	warm *finding
	cold *finding
}

// readAccounts measures reads through the filter of one account, each of another
// account. Cold is the first read of a log that was just opened and of which the
// system's cache holds nothing.
func (s *scale) readAccounts(ctx context.Context, found *sheet) error {
	reads := []*accountRead{
		{
			read: readableLog.newest, want: func(held int) int { return min(held, newestEvents) },
			warm: found.find(fmt.Sprintf("its newest %d events, warm", newestEvents), "ms").atMost(mostReplayMicros/1e3, theMedian),
			cold: found.find(fmt.Sprintf("its newest %d events, cold", newestEvents), "ms"),
		},
		{
			read: readableLog.replay, want: func(held int) int { return held },
			warm: found.find(fmt.Sprintf("all its events, about %d, warm", s.events/s.wabas), "ms"),
			cold: found.find(fmt.Sprintf("all its events, about %d, cold", s.events/s.wabas), "ms"),
		},
	}
	opening := found.find("opening the log before a cold read", "ms")
	if err := s.readWarm(ctx, reads); err != nil {
		return err
	}
	for i := range s.scaleSizes().cold {
		fmt.Fprintf(s.progress, "scale: cold reads, %d of %d\n", i+1, s.scaleSizes().cold)
		for _, r := range reads {
			if err := s.readCold(ctx, r, opening); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scale) readWarm(ctx context.Context, reads []*accountRead) (err error) {
	log, err := s.openReadable(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := warmUp(s.dir); err != nil {
		return fmt.Errorf("read into the system's cache: %w", err)
	}
	sizes := s.scaleSizes()
	for _, r := range reads {
		warmingUp := &finding{}
		for range sizes.before {
			if err := s.readOne(ctx, log, r, warmingUp); err != nil {
				return err
			}
		}
		for range sizes.warm {
			if err := s.readOne(ctx, log, r, r.warm); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scale) readCold(ctx context.Context, r *accountRead, opening *finding) (err error) {
	if err := coolDown(s.dir); err != nil {
		return fmt.Errorf("evict from the system's cache: %w", err)
	}
	start := time.Now()
	log, err := s.openReadable(ctx)
	if err != nil {
		return err
	}
	opening.add(micros(time.Since(start)) / 1e3)
	return errors.Join(s.readOne(ctx, log, r, r.cold), log.Close())
}

func (s *scale) openReadable(ctx context.Context) (readableLog, error) {
	log, err := openLog(ctx, s.dir)
	return readableLog{log}, err
}

// readOne reads an account and checks that nothing is missing.
func (s *scale) readOne(ctx context.Context, log readableLog, r *accountRead, took *finding) error {
	at := s.nextAccount()
	start := time.Now()
	found, err := r.read(log, ctx, account(uint64(at)))
	if err != nil {
		return err
	}
	took.add(micros(time.Since(start)) / 1e3)
	if want := r.want(s.counts[at]); found != want {
		return fmt.Errorf("account %d: read %d events, want %d", at, found, want)
	}
	return nil
}

// newest reads the newest events of an account, newest first.
func (l readableLog) newest(ctx context.Context, account string) (int, error) {
	only := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{account}}})
	found := 0
	for before := eventlog.Sequence(0); ; {
		page, err := l.Read(ctx, eventlog.Query{After: before, Reverse: true, Filter: only, Limit: newestEvents - found})
		if err != nil {
			return found, err
		}
		found += len(page.Entries)
		if found == newestEvents || !page.More {
			return found, nil
		}
		before = page.Scanned.Sequence
	}
}
