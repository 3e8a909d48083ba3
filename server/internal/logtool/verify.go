package logtool

import (
	"context"
	"errors"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// Verdict is the outcome of a verification.
type Verdict struct {
	// Events could be read.
	Events uint64
	// Problems were reported.
	Problems uint64
}

// Verify reads every event of a log and compares it with its checksum, its place
// and the index. It tells report of each problem, as a line for people.
func Verify(ctx context.Context, folder Folder, report func(string), progress Progress) (v Verdict, err error) {
	r, err := folder.open(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	v.Events, err = r.Verify(ctx, func(p pebblelog.Problem) {
		v.Problems++
		report(describe(p))
	}, progress)
	return v, err
}

func describe(p pebblelog.Problem) string {
	where := "the store"
	switch {
	case p.First == p.Last && p.First != 0:
		where = fmt.Sprintf("event %d", p.First)
	case p.First != 0:
		where = fmt.Sprintf("events %d to %d", p.First, p.Last)
	}
	return fmt.Sprintf("%s: %s: %s\n  %s", p.Kind, where, p.Detail, advice(p.Kind))
}

// advice says what to do about a problem.
func advice(kind pebblelog.ProblemKind) string {
	const anew = "`log export` and `log import` into an empty folder make it anew"
	switch kind {
	case pebblelog.ProblemRecord:
		return "Subscribers are told DATA_LOSS there and can go on behind it. Restore a backup that has these events, or leave them out for good: `log export --skip-corrupt` and `log import` into an empty folder."
	case pebblelog.ProblemOrder:
		return "Starting from a time may begin in the wrong place. Report this: no clock should cause it."
	case pebblelog.ProblemIndex:
		return "Filters may miss these events; streams without a filter do not. The index is wrong: " + anew + "."
	case pebblelog.ProblemTable:
		return "Events there may not be found one by one, or be stored twice; streams without a filter have them: " + anew + "."
	case pebblelog.ProblemID:
		return "They may be stored twice, or not be found by their id. The index is wrong: " + anew + "."
	case pebblelog.ProblemState:
		return "What follows from the events may be wrong, that of accounts `log rebuild-accounts` makes again; else " + anew + "."
	default:
		return "Only figures are wrong: " + anew + "."
	}
}
