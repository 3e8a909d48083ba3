package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// stallAfter is how long a frame may wait for its client until the stream counts as
// stalled.
const stallAfter = 5 * time.Second

// registry knows the streams that are open, for operators. Safe for concurrent use.
type registry struct {
	mu   sync.Mutex // guards fields below it
	last uint64
	open map[*entry]struct{}
}

// entry is what operators see of a stream. The runner writes it as it goes: what it
// takes for that is a lock that nobody holds for longer than a few words are copied.
type entry struct {
	id      uint64
	session *access.Session
	peer    string
	label   string
	filters []eventlog.Filter // as requested
	begin   time.Time
	sending atomic.Int64 // since when a frame waits to be taken, Unix ns; zero while none does

	mu     sync.Mutex // guards fields below it
	waiter *waiter
	at     eventlog.Position
	held   bool // as of the cursor
	live   bool
}

func newRegistry() *registry { return &registry{open: make(map[*entry]struct{})} }

// enter makes a stream known until it leaves.
func (g *registry) enter(ctx context.Context, session *access.Session, sub *subscription) *entry {
	e := &entry{session: session, label: sub.label, filters: sub.requested, begin: time.Now(), at: sub.position}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		e.peer = p.Addr.String()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last++
	e.id = g.last
	g.open[e] = struct{}{}
	return e
}

func (g *registry) leave(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, e)
}

// moved says how far the runner has come.
func (e *entry) moved(r *runner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiter, e.at, e.held, e.live = r.waiter, r.position, r.thinned.holds(r.position), r.live
}

// sends is called before a frame is handed to gRPC, and sent once it was taken.
func (e *entry) sends() { e.sending.Store(time.Now().UnixNano()) }

func (e *entry) sent() { e.sending.Store(0) }

// standing is an entry at a moment.
type standing struct {
	*entry
	at   eventlog.Position
	held bool
	live bool
}

// compare orders streams: those furthest behind first, those that are as far by age.
func (s *standing) compare(after eventlog.Sequence, id uint64) int {
	return cmp.Or(cmp.Compare(s.at.Sequence, after), cmp.Compare(s.id, id))
}

// now is where a stream stands. One that waits has come as far as the feed.
func (e *entry) now(feed *feed) standing {
	e.mu.Lock()
	s, waiter := standing{entry: e, at: e.at, held: e.held, live: e.live}, e.waiter
	e.mu.Unlock()
	if waiter == nil {
		return s
	}
	if passed := feed.passed(waiter); passed.Sequence > s.at.Sequence {
		s.at, s.held = passed, false
	}
	return s
}

func (g *registry) standings(feed *feed) []standing {
	g.mu.Lock()
	entries := make([]*entry, 0, len(g.open))
	for e := range g.open {
		entries = append(entries, e)
	}
	g.mu.Unlock()
	all := make([]standing, len(entries))
	for i, e := range entries {
		all[i] = e.now(feed)
	}
	return all
}

// Subscriptions returns the streams that are open, at most limit of them, those that
// are furthest behind first, and how many there are in all. It begins behind the one
// with an id that stood at a sequence, or with the first if the id is zero. As streams
// only get further, one that is still open is not passed over by going on so, but may
// come again.
func (s *Service) Subscriptions(ctx context.Context, after, afterID uint64, limit int) (page []*wabastreamv1.Subscription, total int, err error) {
	all := s.streams.standings(s.feed)
	bounds, err := s.log.Bounds(ctx) // behind all of them
	if err != nil {
		return nil, 0, fmt.Errorf("find the head of the log: %w", err)
	}
	total = len(all)
	if afterID != 0 {
		all = slices.DeleteFunc(all, func(st standing) bool { return st.compare(eventlog.Sequence(after), afterID) <= 0 })
	}
	slices.SortFunc(all, func(a, b standing) int { return a.compare(b.at.Sequence, b.id) })
	now := time.Now()
	for _, st := range all[:min(limit, len(all))] {
		page = append(page, st.subscription(bounds.Head, now))
	}
	return page, total, nil
}

func (s *standing) subscription(head eventlog.Position, now time.Time) *wabastreamv1.Subscription {
	out := &wabastreamv1.Subscription{
		SubscriptionId: strconv.FormatUint(s.id, 10),
		Consumer:       s.session.Caller().Name,
		PeerAddress:    s.peer,
		ClientLabel:    s.label,
		Filters:        filtersShown(s.filters),
		BeginTime:      timestamppb.New(s.begin),
		Cursor:         token{kind: kindCursor, at: s.at, held: s.held}.String(),
		Sequence:       uint64(s.at.Sequence),
		Behind:         uint64(head.Sequence - min(s.at.Sequence, head.Sequence)),
		CaughtUp:       s.live,
	}
	if since := s.sending.Load(); since != 0 {
		if begun := time.Unix(0, since); now.Sub(begun) >= stallAfter {
			out.StallTime, out.CaughtUp = timestamppb.New(begun), false
		}
	}
	return out
}

// filtersShown is how checked filters of a request are shown.
func filtersShown(filters []eventlog.Filter) []*wabastreamv1.EventFilter {
	var shown []*wabastreamv1.EventFilter
	for i := range filters {
		f := &filters[i]
		shown = append(shown, &wabastreamv1.EventFilter{
			WabaIds: f.WABAIDs, Types: f.Types, BusinessPhones: f.BusinessPhones,
			MinSeverity: wabastreamv1.Severity(f.MinSeverity), IncludeUnattributed: f.Unattributed,
		})
	}
	return shown
}
