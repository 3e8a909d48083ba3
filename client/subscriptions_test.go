package client_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// listeners is a server with three streams on two pages, of which one comes twice as
// it got further between them.
type listeners struct {
	wabastreamv1.UnimplementedEventServiceServer
	wabastreamv1.UnimplementedAdminServiceServer
	refuse bool
}

func (l *listeners) ListSubscriptions(_ context.Context, req *wabastreamv1.ListSubscriptionsRequest) (*wabastreamv1.ListSubscriptionsResponse, error) {
	page := func(token string, ids ...string) *wabastreamv1.ListSubscriptionsResponse {
		p := &wabastreamv1.ListSubscriptionsResponse{NextPageToken: token, TotalCount: 3}
		for _, id := range ids {
			p.Subscriptions = append(p.Subscriptions, &wabastreamv1.Subscription{SubscriptionId: id})
		}
		return p
	}
	switch {
	case l.refuse:
		return nil, refusal(codes.PermissionDenied, "OPERATOR_REQUIRED")
	case req.GetPageToken() == "":
		return page("2", "7", "5"), nil
	default:
		return page("", "7", "9"), nil
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	l := &listeners{}
	c := connect(t, l)
	var ids []string
	for s, err := range c.Subscriptions(t.Context()) {
		require.NoError(t, err)
		ids = append(ids, s.GetSubscriptionId())
	}
	require.Equal(t, []string{"7", "5", "9"}, ids)
	for s, err := range c.Subscriptions(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, "7", s.GetSubscriptionId())
		break // whoever has seen enough may leave
	}
	l.refuse = true
	var refused []error
	for s, err := range c.Subscriptions(t.Context()) {
		require.Nil(t, s)
		refused = append(refused, err)
	}
	require.Len(t, refused, 1, "an error ends it")
	require.ErrorIs(t, refused[0], &client.Error{Reason: "OPERATOR_REQUIRED"})
}
