package admin

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Subscriptions are the streams that are open on the server.
type Subscriptions interface {
	// Subscriptions returns at most limit of them, those furthest behind first, and
	// how many there are in all. It begins behind the one with an id that stood at a
	// sequence, or with the first if the id is zero. Errors: eventlog.ErrClosed,
	// eventlog.ErrFailed, or the context's.
	Subscriptions(ctx context.Context, after, afterID uint64, limit int) (page []*wabastreamv1.Subscription, total int, err error)
}

// ListSubscriptions implements AdminService.
func (s *Service) ListSubscriptions(ctx context.Context, req *wabastreamv1.ListSubscriptionsRequest) (*wabastreamv1.ListSubscriptionsResponse, error) {
	size, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	after, afterID, err := parseSubscriptionToken(req.GetPageToken())
	if err != nil {
		return nil, invalid("page_token", "is not one that a page before gave: begin again without")
	}
	page, total, err := s.config.Subscriptions.Subscriptions(ctx, after, afterID, size+1)
	if err != nil {
		return nil, s.listError(err)
	}
	answer := &wabastreamv1.ListSubscriptionsResponse{Subscriptions: page, TotalCount: int32(total)}
	if len(page) > size {
		answer.Subscriptions = page[:size]
		if answer.NextPageToken, err = subscriptionToken(page[size-1]); err != nil {
			return nil, s.listError(err)
		}
	}
	return answer, nil
}

func (s *Service) listError(err error) error {
	if passing := passingError(err); passing != nil {
		return passing
	}
	s.config.Logger.Error("listing the subscriptions", "error", err)
	return internalError()
}

// pageSize is how many things a page may hold.
func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPageSize, nil
	case asked < 0 || asked > maxPageSize:
		return 0, invalid("page_size", fmt.Sprintf("%d is outside 1 to %d", asked, maxPageSize))
	}
	return int(asked), nil
}

// A page token is where the last stream of its page stood, and its id.

const subscriptionTokenBytes = 16

func subscriptionToken(last *wabastreamv1.Subscription) (string, error) {
	id, err := strconv.ParseUint(last.GetSubscriptionId(), 10, 64)
	if err != nil {
		return "", fmt.Errorf("subscription id: %w", err)
	}
	b := binary.BigEndian.AppendUint64(nil, last.GetSequence())
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, id)), nil
}

func parseSubscriptionToken(token string) (after, id uint64, err error) {
	if token == "" {
		return 0, 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != subscriptionTokenBytes {
		return 0, 0, errors.New("not a page token")
	}
	if id = binary.BigEndian.Uint64(b[8:]); id == 0 {
		return 0, 0, errors.New("not a page token")
	}
	return binary.BigEndian.Uint64(b), id, nil
}
