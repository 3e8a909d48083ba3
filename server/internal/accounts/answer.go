package accounts

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// maxBehind is how long a call waits for the state to reach its cursor.
	maxBehind = 10 * time.Second
	// maxScanned is how many keys one page looks at.
	maxScanned = 10_000

	fieldAtLeast = "at_least_cursor"
)

// answer is what a call is answered from: the state as of one moment, as far as the
// caller may see it. It belongs to one goroutine and is to be closed.
type answer struct {
	*scope
	view eventlog.View
	now  time.Time
}

// answerTo opens the state for the caller of a call, once it has reached a cursor, if
// there is one.
func (s *Service) answerTo(ctx context.Context, atLeast string) (*answer, error) {
	scope, err := s.scopeOf(ctx)
	if err != nil {
		return nil, err
	}
	if atLeast != "" {
		if err := s.reach(ctx, atLeast); err != nil {
			return nil, err
		}
	}
	return s.open(scope)
}

// open opens the state as it is.
func (s *Service) open(c *scope) (*answer, error) {
	view, err := s.config.State.View()
	if err != nil {
		return nil, s.failed(err)
	}
	c.log = view.Position().Log
	return &answer{scope: c, view: view, now: time.Now()}, nil
}

func (a *answer) close() { a.view.Close() }

// cursor is where the state is of.
func (a *answer) cursor() string { return a.cursors.Format(a.view.Position()) }

// reach waits until the state is of a cursor. What the cursor's event did is in the
// state also where the event is gone.
func (s *Service) reach(ctx context.Context, cursor string) error {
	at, err := s.config.Cursors.Parse(cursor)
	if err != nil {
		return malformed(fieldAtLeast)
	}
	if err := s.config.Log.Check(ctx, at); err != nil && !errors.Is(err, eventlog.ErrTrimmed) {
		return s.cursorError(fieldAtLeast, err)
	}
	return s.follow(ctx, at)
}

func malformed(field string) error {
	return apierror.Invalid(reasonCursorMalformed, field, "not a cursor of this service; pass the cursor of an answer, a frame or an event exactly as it was received")
}

// follow waits for the state to reach a position of the log.
func (s *Service) follow(ctx context.Context, at eventlog.Position) error {
	if at.Sequence == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, maxBehind)
	defer cancel()
	err := s.config.State.Wait(waiting, at.Sequence-1)
	switch {
	case err == nil:
		return nil
	case waiting.Err() != nil && ctx.Err() == nil:
		return apierror.New(codes.Unavailable, reasonNodeBehind,
			fmt.Sprintf("the state of accounts has not reached the cursor within %v; call again", maxBehind), retryAfter(retryDelay))
	}
	return s.failed(err)
}

// row reads a message of the state into m; false is that there is none.
func (a *answer) row(key []byte, m proto.Message) (bool, error) {
	value, err := a.view.Get(key)
	if err != nil || value == nil {
		return false, err
	}
	return true, decodeRow(value, m)
}

func decodeRow(value []byte, m proto.Message) error {
	if err := proto.Unmarshal(value, m); err != nil {
		return fmt.Errorf("decode state: %w", err)
	}
	return nil
}

// readAccount reads an account for the caller; nil is that there is nothing for it to see.
func (a *answer) readAccount(waba string) (*wabastreamv1.Account, error) {
	account := new(wabastreamv1.Account)
	found, err := a.row(accountKey(waba), account)
	if !found || err != nil || !a.showAccount(account) {
		return nil, err
	}
	judgeAccount(account, a.now)
	return account, nil
}

// ownerOf is the account that a number belongs to; empty when it is not known.
func (a *answer) ownerOf(phone string) (string, error) {
	value, err := a.view.Get(ownerKey(phone))
	return decodePair(value).waba, err
}

// measurePatience is how long a metric waits for a log that cannot be reached.
const measurePatience = time.Second

// behind is how many events the state is behind the log.
func (s *Service) behind() float64 {
	view, err := s.config.State.View()
	if err != nil {
		return math.NaN()
	}
	at := view.Position().Sequence
	view.Close()
	ctx, cancel := context.WithTimeout(context.Background(), measurePatience)
	defer cancel()
	bounds, err := s.config.Log.Bounds(ctx)
	if err != nil {
		return math.NaN()
	}
	return float64(bounds.Head.Sequence - min(at, bounds.Head.Sequence))
}

// pageSizeOf is how many things a page may hold.
func pageSizeOf(asked int32, usual, most int) (int, error) {
	switch {
	case asked == 0:
		return usual, nil
	case asked < 0 || int(asked) > most:
		return 0, apierror.Invalid(reasonRequestInvalid, "page_size", fmt.Sprintf("%d is outside 1 to %d", asked, most))
	}
	return int(asked), nil
}
