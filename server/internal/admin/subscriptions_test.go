package admin_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/admin"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// openStreams stand at a tenth of their number: several at one place.
type openStreams struct {
	count int
	err   error
}

func (o openStreams) Subscriptions(_ context.Context, after, afterID uint64, limit int) (page []*wabastreamv1.Subscription, total int, err error) {
	for id := uint64(1); id <= uint64(o.count) && len(page) < limit; id++ {
		if at := id / 10; afterID == 0 || at > after || at == after && id > afterID {
			page = append(page, &wabastreamv1.Subscription{SubscriptionId: strconv.FormatUint(id, 10), Sequence: at})
		}
	}
	return page, o.count, o.err
}

func TestListSubscriptions(t *testing.T) {
	t.Parallel()
	for _, count := range []int{0, 1, 20, 25, 101} {
		for _, size := range []int32{0, 1, 7, 20} {
			s := admin.New(admin.Config{Subscriptions: openStreams{count: count}})
			got, token := 0, ""
			for first := true; first || token != ""; first = false {
				page, err := s.ListSubscriptions(t.Context(), &wabastreamv1.ListSubscriptionsRequest{PageSize: size, PageToken: token})
				require.NoError(t, err)
				require.EqualValues(t, count, page.GetTotalCount())
				for _, one := range page.GetSubscriptions() {
					got++
					require.Equal(t, strconv.Itoa(got), one.GetSubscriptionId())
				}
				require.True(t, size == 0 || len(page.GetSubscriptions()) <= int(size))
				token = page.GetNextPageToken()
			}
			require.Equal(t, count, got)
		}
	}
}

func TestListSubscriptionsRefuses(t *testing.T) {
	t.Parallel()
	s := admin.New(admin.Config{Subscriptions: openStreams{}})
	for _, req := range []*wabastreamv1.ListSubscriptionsRequest{
		{PageSize: -1}, {PageSize: 1001}, {PageToken: "x"}, {PageToken: "AAAA"}, {PageToken: "AAAAAAAAAAAAAAAAAAAAAA"},
	} {
		_, err := s.ListSubscriptions(t.Context(), req)
		requireReason(t, err, codes.InvalidArgument, "REQUEST_INVALID")
	}
	for reason, cause := range map[string]error{"LOG_UNAVAILABLE": fmt.Errorf("x: %w", eventlog.ErrClosed), "INTERNAL": errors.New("secret path")} {
		s := admin.New(admin.Config{Subscriptions: openStreams{err: cause}})
		_, err := s.ListSubscriptions(t.Context(), &wabastreamv1.ListSubscriptionsRequest{})
		requireReason(t, err, map[string]codes.Code{"LOG_UNAVAILABLE": codes.Unavailable, "INTERNAL": codes.Internal}[reason], reason)
		require.NotContains(t, err.Error(), "secret")
	}
}
