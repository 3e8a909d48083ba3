package stream

import (
	"context"
	"errors"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// outagePause is how long the feed waits after an error before it reads again.
const outagePause = time.Second

// outage is an error of the feed, to come or come about. It ends the waiting of
// those who joined before it.
type outage struct {
	begun chan struct{} // closed once err is set
	err   error
}

func newOutage() *outage { return &outage{begun: make(chan struct{})} }

// fail tells an error to those who have joined and, if it ends the feed, to those
// who will.
func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outage.err = err
	close(f.outage.begun)
	if !endsFeed(err) {
		f.outage = newOutage()
	}
}

// endsFeed tells whether nothing can be read after an error of the feed.
func endsFeed(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, eventlog.ErrClosed) || errors.Is(err, eventlog.ErrFailed)
}

// outageError answers those who waited. The error that the feed goes on after was
// logged once; whoever calls again is told more by the log itself.
func (s *Service) outageError(err error) error {
	if endsFeed(err) {
		return s.logError(err)
	}
	return logUnavailable()
}
