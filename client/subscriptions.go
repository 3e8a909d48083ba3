package client

import (
	"context"
	"iter"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Subscriptions returns the streams that are open on the server, those furthest behind
// first: who is listening, to what, and who has stopped reading. It asks for a page at
// a time: one that comes or goes meanwhile may be missing.
//
// An error, which is an [*Error], ends the iteration.
func (c *Client) Subscriptions(ctx context.Context) iter.Seq2[*wabastreamv1.Subscription, error] {
	return func(yield func(*wabastreamv1.Subscription, error) bool) {
		admin := wabastreamv1.NewAdminServiceClient(c.conn)
		seen := make(map[string]bool) // one that got further between two pages comes again
		for token := ""; ; {
			page, err := admin.ListSubscriptions(ctx, &wabastreamv1.ListSubscriptionsRequest{PageToken: token})
			if err != nil {
				yield(nil, errorOf(err))
				return
			}
			for _, subscription := range page.GetSubscriptions() {
				if id := subscription.GetSubscriptionId(); !seen[id] {
					seen[id] = true
					if !yield(subscription, nil) {
						return
					}
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}
