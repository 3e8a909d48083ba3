package accounts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	defaultHeartbeat = 15 * time.Second
	minHeartbeat     = time.Second
	maxHeartbeat     = 5 * time.Minute

	// watchPause is for how long watches rest after what changes was looked at. What
	// changes meanwhile is told together.
	watchPause = 10 * time.Millisecond
	// ageJitter is the part of a watch's greatest age by which it may be more or less:
	// watches that began together do not end together.
	ageJitter = 0.1

	fieldAfter = "after_cursor"
)

type watchStream = grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]

// watcher serves one watch. It belongs to one goroutine.
type watcher struct {
	service   *Service
	scope     *scope
	named     map[string]bool // nil is every account that the caller may see
	stream    watchStream
	heartbeat time.Duration
	interest  *interest

	at       eventlog.Position // the client has what happened up to here
	readAll  bool              // it has everything that it was woken for
	lastSent time.Time
}

// ending is how a watch ends that its client is told of by a closing frame.
type ending struct {
	status error
	// delay is how long the client is to wait before it calls again; nil if calling
	// again as it did is of no use.
	delay *durationpb.Duration
	// reason is the status's.
	reason string
}

// Error makes it the cause that a watch's context ends with.
func (e ending) Error() string { return e.status.Error() }

// planned ends a watch that nothing is wrong with.
func planned(reason, message string, delay time.Duration) ending {
	const again = "; call again with after_cursor = the last cursor received"
	return ending{apierror.New(codes.Unavailable, reason, message+again, retryAfter(delay)), durationpb.New(delay), reason}
}

func draining() ending {
	return planned(reasonDraining, "the server is shutting down", reconnectDelay)
}

func aged() ending {
	return planned(reasonMaxStreamAge, "the stream has reached the greatest age that the server allows", 0)
}

func regranted() ending {
	return ending{apierror.New(codes.Aborted, reasonGrantChanged,
		"what this caller may see has changed: begin anew, without a cursor"), nil, reasonGrantChanged}
}

// WatchAccounts implements AccountService. The request is checked before headers are
// sent.
func (s *Service) WatchAccounts(req *wabastreamv1.WatchAccountsRequest, stream watchStream) error {
	s.watches.Inc()
	defer s.watches.Dec()
	if s.draining.Err() != nil {
		return draining().status
	}
	session := access.FromContext(stream.Context())
	if err := session.Err(); err != nil {
		return unauthenticated(err)
	}
	caller := session.Caller()
	leave, err := s.config.Admit(stream.Context(), caller)
	if err != nil {
		return err
	}
	defer leave()
	ctx, stop := s.during(stream.Context(), session, caller.Grant)
	defer stop()
	w, err := s.watcher(caller.Grant, req, stream)
	if err != nil {
		return err
	}
	if w.interest, err = s.feed.join(w.interested()); err != nil {
		return s.failed(err)
	}
	defer w.interest.leave()
	begun, err := w.run(ctx, req)
	end, planned := errors.AsType[ending](context.Cause(ctx))
	if !planned {
		return err
	}
	if begun {
		w.announce(end)
	}
	return end.status
}

// during returns a context that ends, with an ending as its cause, when the watch has to.
func (s *Service) during(ctx context.Context, session *access.Session, grant access.Grant) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	look := func() {
		if err := session.Err(); err != nil {
			refused := unauthenticated(err)
			cancel(ending{status: refused, reason: reasonOf(refused)})
		} else if !sameView(session.Caller().Grant, grant) {
			cancel(regranted())
		}
	}
	forget := session.OnChange(look)
	look() // what changed before is not told
	undrain := context.AfterFunc(s.draining, func() { cancel(draining()) })
	unage := func() bool { return true }
	if limit := s.config.MaxStreamAge; limit > 0 {
		limit += time.Duration((2*rand.Float64() - 1) * ageJitter * float64(limit)) //nolint:gosec // no secret
		unage = time.AfterFunc(limit, func() { cancel(aged()) }).Stop
	}
	return ctx, func() {
		unage()
		undrain()
		forget()
		cancel(nil)
	}
}

// sameView reports whether two grants show the same of accounts.
func sameView(x, y access.Grant) bool {
	for _, g := range []*access.Grant{&x, &y} {
		g.MaxStreams, g.Operate, g.Metrics, g.RawJSON, g.PersonalData = 0, false, false, false, 0
	}
	return reflect.DeepEqual(x, y)
}

func (s *Service) watcher(grant access.Grant, req *wabastreamv1.WatchAccountsRequest, stream watchStream) (*watcher, error) {
	scope, err := s.scopeFor(grant)
	if err != nil {
		return nil, err
	}
	w := &watcher{service: s, scope: scope, stream: stream, heartbeat: defaultHeartbeat, lastSent: time.Now()}
	if asked := req.GetHeartbeatInterval(); asked != nil {
		w.heartbeat = asked.AsDuration()
		if asked.CheckValid() != nil || w.heartbeat < minHeartbeat || w.heartbeat > maxHeartbeat {
			return nil, apierror.Invalid(reasonRequestInvalid, "heartbeat_interval", fmt.Sprintf("outside %v to %v", minHeartbeat, maxHeartbeat))
		}
	}
	if err := checkNamed(req.GetWabaIds()); err != nil {
		return nil, err
	}
	if err := scope.named("waba_ids", req.GetWabaIds()...); err != nil {
		return nil, err
	}
	if len(req.GetWabaIds()) > 0 {
		w.named = make(map[string]bool, len(req.GetWabaIds()))
		for _, waba := range req.GetWabaIds() {
			w.named[waba] = true
		}
	}
	return w, nil
}

// run serves until the context ends, or an error, and returns why; begun says that
// something was sent.
func (w *watcher) run(ctx context.Context, req *wabastreamv1.WatchAccountsRequest) (begun bool, err error) {
	if _, resumed := req.GetStart().(*wabastreamv1.WatchAccountsRequest_AfterCursor); resumed {
		err = w.resume(ctx, req.GetAfterCursor())
	} else {
		begun = true
		err = w.snapshot(ctx)
	}
	if err != nil {
		return begun, err
	}
	if err := w.send(w.service.config.Cursors.Format(w.at), &wabastreamv1.WatchAccountsResponse{Frame: &wabastreamv1.WatchAccountsResponse_SnapshotEnd{
		SnapshotEnd: &wabastreamv1.SnapshotEnd{HeartbeatInterval: durationpb.New(w.heartbeat)},
	}}); err != nil {
		return true, err
	}
	for {
		w.skip()
		more, err := w.changes(ctx)
		if err != nil {
			return true, err
		}
		w.readAll = !more
		if err := w.beat(w.service.config.Cursors.Format(w.at)); err != nil {
			return true, err
		}
		if more {
			continue
		}
		if err := w.idle(ctx); err != nil {
			return true, err
		}
	}
}

// resume begins behind a cursor.
func (w *watcher) resume(ctx context.Context, cursor string) error {
	at, err := w.service.config.Cursors.Parse(cursor)
	if err != nil {
		return malformed(fieldAfter)
	}
	if err := w.service.config.Log.Check(ctx, at); err != nil {
		return w.service.cursorError(fieldAfter, err)
	}
	w.at = at
	return w.service.follow(ctx, at)
}

// changes sends what happened since, or some of it; more says that there is more.
func (w *watcher) changes(ctx context.Context) (more bool, err error) {
	a, err := w.service.open(w.scope)
	if err != nil {
		return false, err
	}
	page, err := a.notesAfter(w.at, func(c *wabastreamv1.AccountChange) bool { return w.wants(c.GetWabaId()) && w.scope.showChange(c) })
	a.close()
	if err == nil {
		err = w.complete(ctx, w.at)
	}
	if err != nil {
		return false, w.service.failed(err)
	}
	if len(page.changes) > 0 {
		if err := w.send(w.service.config.Cursors.Format(page.at), &wabastreamv1.WatchAccountsResponse{Frame: &wabastreamv1.WatchAccountsResponse_Changes{
			Changes: &wabastreamv1.AccountChanges{Changes: page.changes},
		}}); err != nil {
			return false, err
		}
	}
	w.at = page.at
	return page.more, nil
}

// interested names the accounts whose changes concern the watch; none is all.
func (w *watcher) interested() []string {
	switch {
	case w.named != nil:
		return slices.Collect(maps.Keys(w.named))
	case w.scope.wabas == nil:
		return nil
	}
	wabas := slices.Collect(maps.Keys(w.scope.wabas))
	if w.scope.grant.Unattributed {
		wabas = append(wabas, "")
	}
	return wabas
}

// skip moves on to where something concerns the watch.
func (w *watcher) skip() {
	if to := w.interest.quiet(); w.readAll && to.Sequence > w.at.Sequence {
		w.at = to
	}
}

// wants reports whether an account was asked for; of nobody's numbers, whoever asks for
// everything.
func (w *watcher) wants(waba string) bool { return w.named == nil || w.named[waba] }

// complete fails if what happened since a position may have been removed before it was
// read.
func (w *watcher) complete(ctx context.Context, since eventlog.Position) error {
	err := w.service.config.Log.Check(ctx, since)
	if errors.Is(err, eventlog.ErrTrimmed) {
		return expired(fieldAfter)
	}
	return err
}

// idle returns when there may be more, or a heartbeat is due.
func (w *watcher) idle(ctx context.Context) error {
	due := time.NewTimer(time.Until(w.lastSent.Add(w.heartbeat)))
	defer due.Stop()
	select {
	case <-w.interest.woken:
	case <-due.C:
	case <-ctx.Done():
		return w.service.failed(ctx.Err())
	}
	return nil
}

// beat sends a heartbeat if one is due.
func (w *watcher) beat(cursor string) error {
	if time.Since(w.lastSent) < w.heartbeat {
		return nil
	}
	return w.send(cursor, &wabastreamv1.WatchAccountsResponse{Frame: &wabastreamv1.WatchAccountsResponse_Progress{
		Progress: &wabastreamv1.WatchProgress{},
	}})
}

// announce tells of a planned end. That the frame cannot be sent is no news: the client
// is gone or does not read.
func (w *watcher) announce(end ending) {
	_ = w.send("", &wabastreamv1.WatchAccountsResponse{Frame: &wabastreamv1.WatchAccountsResponse_Closing{
		Closing: &wabastreamv1.Closing{Reason: end.reason, ReconnectDelay: end.delay},
	}})
}

func (w *watcher) send(cursor string, frame *wabastreamv1.WatchAccountsResponse) error {
	frame.Cursor = cursor
	if err := w.stream.Send(frame); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	w.lastSent = time.Now()
	return nil
}
