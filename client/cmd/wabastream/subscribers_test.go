package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// ListSubscriptions has two pages, and on both of them a stream that got further.
func (keeper) ListSubscriptions(_ context.Context, req *wabastreamv1.ListSubscriptionsRequest) (*wabastreamv1.ListSubscriptionsResponse, error) {
	at := &timestamppb.Timestamp{Seconds: 1769903999}
	stalled := &wabastreamv1.Subscription{
		SubscriptionId: "7", Consumer: "billing", PeerAddress: "10.0.0.7:51234", ClientLabel: "pod\x1b[2J",
		BeginTime: at, Sequence: 1, Behind: 1234567, StallTime: at, Cursor: "cAT",
		Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"1", "2", "3", "4", "5"}}, {IncludeUnattributed: true}},
	}
	live := &wabastreamv1.Subscription{SubscriptionId: "8", PeerAddress: "127.0.0.1:4", BeginTime: at, CaughtUp: true, Cursor: "cHEAD"}
	switch req.GetPageToken() {
	case "":
		return &wabastreamv1.ListSubscriptionsResponse{Subscriptions: []*wabastreamv1.Subscription{stalled}, NextPageToken: "2", TotalCount: 2}, nil
	case "2":
		return &wabastreamv1.ListSubscriptionsResponse{Subscriptions: []*wabastreamv1.Subscription{stalled, live}, TotalCount: 2}, nil
	}
	return nil, status.Error(codes.InvalidArgument, "no such page")
}

func TestFiltersText(t *testing.T) {
	t.Parallel()
	for want, filters := range map[string][]*wabastreamv1.EventFilter{
		"everything": nil,
		"WABA 1":     {{WabaIds: []string{"1"}}},
		"WABA 1,2,3 and 2 more, type a, phone 49, from critical": {{
			WabaIds: []string{"1", "2", "3", "4", "5"}, Types: []string{"a"}, BusinessPhones: []string{"49"},
			MinSeverity: wabastreamv1.Severity_SEVERITY_CRITICAL,
		}},
		"WABA 1, unattributed or type a,b": {{WabaIds: []string{"1"}, IncludeUnattributed: true}, {Types: []string{"a", "b"}}},
	} {
		require.Equal(t, want, filtersText(filters))
	}
}

func TestSubscriberState(t *testing.T) {
	t.Parallel()
	require.Equal(t, "replaying", subscriberState(&wabastreamv1.Subscription{Behind: 3}))
	require.Equal(t, "live", subscriberState(&wabastreamv1.Subscription{CaughtUp: true}))
}
