package logtool

import (
	"context"
	"errors"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/accounts"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// foldStep is after how many sequences it is told how far the state has come.
const foldStep = 10_000

// Rebuilt is the outcome of making a state again.
type Rebuilt struct {
	// Events are up to which sequence the state is of.
	Events uint64
	// Differences is how many of its values were not as they are to be. Any is a mistake
	// of the server, or damage that `log verify` tells of.
	Differences uint64
}

// RebuildAccounts makes the state of accounts again, from what the log keeps of events
// that retention has removed, and those that it holds. If it ends early the state is as
// it was.
func RebuildAccounts(ctx context.Context, folder Folder, progress Progress) (out Rebuilt, err error) {
	r, err := folder.open(ctx) // a log has to be there: opening one for a server would make it
	if err != nil {
		return Rebuilt{}, err
	}
	if err := r.Close(); err != nil {
		return Rebuilt{}, err
	}
	log, err := pebblelog.Open(ctx, folder.Dir, folder.options())
	if err != nil {
		return Rebuilt{}, folder.explain(err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	state, err := log.Project(ctx, accounts.Projection())
	if err != nil {
		return Rebuilt{}, fmt.Errorf("open the state of accounts: %w", err)
	}
	bounds, err := log.Bounds(ctx)
	if err == nil {
		err = catchUp(ctx, state, bounds, progress)
	}
	if err == nil {
		out.Differences, err = state.Rebuild(ctx, progress)
	}
	out.Events = uint64(bounds.Head.Sequence)
	return out, err
}

// catchUp waits for the state to be of the log's head: one that was never kept begins at
// the log's start.
func catchUp(ctx context.Context, state eventlog.State, bounds eventlog.Bounds, progress Progress) error {
	start, head := bounds.Start.Sequence, bounds.Head.Sequence
	for at := start; at < head; {
		at = min(at+foldStep, head)
		if err := state.Wait(ctx, at-1); err != nil {
			return fmt.Errorf("fold events into the state of accounts: %w", err)
		}
		progress(uint64(at-start), uint64(head-start))
	}
	return nil
}
