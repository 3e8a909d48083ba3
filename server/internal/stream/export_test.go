package stream

import (
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// What follows lets tests outside the package look inside.

func ParseCursorForTest(cursor string) (eventlog.Position, error) {
	t, err := parseToken(kindCursor, cursor)
	return t.at, err
}

func MatcherForTest(filters []*wabastreamv1.EventFilter) *eventlog.Matcher {
	out, err := filtersOf(filters)
	if err != nil {
		panic(err)
	}
	return eventlog.NewMatcher(out)
}

func (s *Service) ForgetForTest() { s.feed.recent.clear() }
