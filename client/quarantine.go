package client

import (
	"context"
	"iter"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Reasons why a callback is not put in again.
const (
	// ReasonQuarantinedNotFound: no callback with the id is held, or not any more.
	ReasonQuarantinedNotFound = "QUARANTINED_NOT_FOUND"
	// ReasonCallbackUnreadable: still no event can be made of it.
	ReasonCallbackUnreadable = "CALLBACK_UNREADABLE"
	// ReasonSourceNotConfigured: the server has no source of that name any more.
	ReasonSourceNotConfigured = "SOURCE_NOT_CONFIGURED"
)

// Quarantined returns the signed callbacks that the server could make no event of,
// the newest first; with bodies also what was posted, which may name people. It asks
// for a page at a time: a callback that comes or goes meanwhile may be missing.
//
// An error, which is an [*Error], ends the iteration.
func (c *Client) Quarantined(ctx context.Context, bodies bool) iter.Seq2[*wabastreamv1.QuarantinedCallback, error] {
	return func(yield func(*wabastreamv1.QuarantinedCallback, error) bool) {
		admin := wabastreamv1.NewAdminServiceClient(c.conn)
		for token := ""; ; {
			page, err := admin.ListQuarantined(ctx, &wabastreamv1.ListQuarantinedRequest{PageToken: token, IncludeBody: bodies})
			if err != nil {
				yield(nil, errorOf(err))
				return
			}
			for _, callback := range page.GetCallbacks() {
				if !yield(callback, nil) {
					return
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}

// ReinjectQuarantined has the server try a callback in the quarantine again, and
// returns once its events are durable and it has left the quarantine. The id is
// QuarantinedCallback.quarantine_id.
//
// Its error is an [*Error], after which the callback is where it was. After one
// without a reason, such as a lost connection, call again: nothing is stored twice,
// and [ReasonQuarantinedNotFound] says that it was put in.
func (c *Client) ReinjectQuarantined(ctx context.Context, id string) (*wabastreamv1.ReinjectQuarantinedResponse, error) {
	request := &wabastreamv1.ReinjectQuarantinedRequest{QuarantineId: id}
	answer, err := wabastreamv1.NewAdminServiceClient(c.conn).ReinjectQuarantined(ctx, request)
	if err != nil {
		return nil, errorOf(err)
	}
	return answer, nil
}
