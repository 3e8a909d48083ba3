package stream

import (
	"context"
	"fmt"
	"slices"
	"strings"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// thinned is the part of the log, up to a place, in which a forward reader takes
// what is still held, although retention removed events of some types there that
// its filter may select. Behind it the log refuses to pass over anything.
//
// No page reaches beyond it. So what a page can be without was known, or not
// asked for, before the page was read, however far retention has got meanwhile.
type thinned struct {
	upTo eventlog.Sequence
	// follows says that the reader asked for what there is and was told nothing.
	// The part then grows for as long as retention is ahead of the reader, and
	// cursors in it say so, for whoever resumes after one.
	follows bool
}

// heldOf is the part for a reader that asks for what there is.
func heldOf(bounds eventlog.Bounds, matcher *eventlog.Matcher) thinned {
	return thinned{upTo: bounds.StartFor(matcher).Sequence, follows: true}
}

// read reads the query's next page.
func (t *thinned) read(ctx context.Context, log Reader, query eventlog.Query) (eventlog.Page, error) {
	cut := false
	if query.After < t.upTo && !query.Reverse {
		query.Held = true
		if query.Until == 0 || query.Until > t.upTo {
			query.Until, cut = t.upTo, true
		}
	}
	page, err := log.Read(ctx, query)
	if err != nil || !cut || page.More {
		return page, err
	}
	page.More = true // behind the part
	if t.follows {
		bounds, err := log.Bounds(ctx)
		if err != nil {
			return page, fmt.Errorf("find the ends of the log: %w", err)
		}
		t.upTo = bounds.StartFor(query.Filter).Sequence
	}
	return page, nil
}

func (t *thinned) cursor(p eventlog.Position) string {
	return token{kind: kindCursor, at: p, held: t.holds(p)}.String()
}

// holds reports whether a reader that resumes after the position is to take what
// is held there.
func (t *thinned) holds(p eventlog.Position) bool { return t.follows && p.Sequence < t.upTo }

// earliestCursor is the cursor after which a reader with the filter receives
// everything that the log holds after the position.
func earliestCursor(bounds eventlog.Bounds, matcher *eventlog.Matcher, after eventlog.Position) string {
	if after.Sequence < bounds.Start.Sequence {
		after = bounds.Start
	}
	held := heldOf(bounds, matcher)
	return held.cursor(after)
}

// typeTrimsAfter returns the types, sorted by path, of which events after the
// position are gone that the filter may select.
func typeTrimsAfter(p eventlog.Position, bounds eventlog.Bounds, matcher *eventlog.Matcher) []eventlog.TypeTrim {
	var trims []eventlog.TypeTrim
	for _, t := range bounds.TypeTrims {
		if t.UpTo.Sequence > p.Sequence && matcher.MaySelect(t.Path) {
			trims = append(trims, t)
		}
	}
	slices.SortFunc(trims, func(a, b eventlog.TypeTrim) int { return strings.Compare(a.Path, b.Path) })
	return trims
}

// typeTrims is how ready and GetLogInfo tell of them.
func typeTrims(bounds eventlog.Bounds, matcher *eventlog.Matcher) []*wabastreamv1.TypeTrim {
	var out []*wabastreamv1.TypeTrim
	for _, t := range typeTrimsAfter(bounds.Start, bounds, matcher) {
		out = append(out, &wabastreamv1.TypeTrim{
			Type: t.Path, UpToCursor: cursorOf(t.UpTo), UpToSequence: uint64(t.UpTo.Sequence),
		})
	}
	return out
}
